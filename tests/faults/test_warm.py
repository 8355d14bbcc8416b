"""Faults in one process: a signal or an error at each step of what a run writes and computes."""

from dataclasses import replace
from pathlib import Path

import pytest
from faults import warm
from faults.injection import SIGNALS, Fault

pytestmark = pytest.mark.faults

WRITTEN = {
    "last.ckpt": "checkpoint",
    "predictions.npz": "predictions",
    "record.json": "record",
    "progress.json": "progress",
}
PLACES = ("open", "half", "rename", "renamed")
STEPS = ("train 0", "train 2", "train 3", "train 5", "validate", "test")

FAULTS = [
    *(Fault(deed, f"{place} {name}") for deed in SIGNALS for name in WRITTEN for place in PLACES),
    *(
        Fault(deed, f"{place} {name}")
        for deed in ("ENOSPC", "EIO")
        for name in WRITTEN
        for place in PLACES[:3]
    ),
    *(Fault(deed, step) for deed in SIGNALS for step in STEPS),
    *(Fault("memory", step) for step in STEPS),
    *(Fault("clock", step) for step in STEPS[:3]),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.deed} {fault.moment}")
def test_a_run_ends_with_its_numbers_after_a_fault(fault, laboratory, case, row, tmp_path: Path):
    where, _, name = fault.moment.partition(" ")
    moment = WRITTEN.get(name, {"train": "training step"}.get(where, "evaluation"))
    row("single processes", fault.deed, moment)
    training = laboratory.training(case.output)
    happened = tmp_path / "happened"
    ended = warm.start(training, tmp_path / "log", replace(fault, once=str(happened)))
    assert happened.exists()
    case.check(ended, ended=ended.code == 0, deed=fault.deed)
    case.check(warm.start(training, tmp_path / "log"), ended=True)
