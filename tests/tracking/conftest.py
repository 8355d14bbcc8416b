from pathlib import Path

import pytest
from records import make_result, save_study

from ablations.claims.gates import Check
from ablations.reporting.evidence import Section, gather


@pytest.fixture
def sections(runs_dir: Path) -> list[Section]:
    """A study with three claims in ``runs_dir``, without records."""
    values = {"": ([0.28, 0.281, 0.279], [0.25, 0.251, 0.25])}
    save_study(
        runs_dir,
        [
            make_result("lrn_lowers_error", values, warnings=["a warning"]),
            make_result(
                "relu_trains_faster_than_tanh",
                {"": ([8.0, 8.4, 8.2], [2.0, 2.1, 2.0])},
                measure={"of": "epochs_to_error", "target": 0.25},
            ),
            make_result(
                "bias_one_speeds_early_learning",
                {"": ([], [])},
                measure={"of": "steps_to_loss", "target": 1.8},
                checks=[Check("learns", False, "all tuning runs without the technique diverged")],
                comparison={"obstacle": "learns: all diverged"},
            ),
        ],
    )
    return gather(runs_dir).sections
