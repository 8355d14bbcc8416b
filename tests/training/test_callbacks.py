from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
from finished import predictions

from ablations.config import ConfigError, Run
from ablations.training.callbacks import build_callbacks

EMA = {"_target_": "pytorch_lightning.callbacks.EMAWeightAveraging", "decay": 0.5}


class Stamp(pl.Callback):
    """Counts the training batches into a file."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_end(self, *args) -> None:
        with self.file.open("a") as stream:
            stream.write(".")


def test_a_callback_watches_the_training_and_changes_no_number(
    tiny_job, train_here, finished: Path, tmp_path: Path
):
    stamp = {"_target_": f"{__name__}.Stamp", "file": str(tmp_path / "batches")}
    folder = train_here(tiny_job(callbacks={"stamp": stamp}))
    assert folder.name != finished.name
    assert (tmp_path / "batches").read_text()
    ours, theirs = predictions(folder), predictions(finished)
    assert np.array_equal(ours["ten_view"], theirs["ten_view"])


def test_callbacks_change_the_id_and_the_differences_rebuild_the_run(tiny_run: Run):
    changed = replace(tiny_run, callbacks={"ema": EMA})
    other = replace(tiny_run, callbacks={"ema": EMA | {"decay": 0.6}})
    assert len({run.run_id for run in (tiny_run, changed, other)}) == 3
    assert Run.from_differences(changed.differences).run_id == changed.run_id


def test_an_argument_may_be_an_object_as_in_hydra(tmp_path: Path):
    file = {"_target_": "pathlib.Path", "_args_": [str(tmp_path), "batches"]}
    (stamp,) = build_callbacks({"stamp": {"_target_": f"{__name__}.Stamp", "file": file}})
    assert vars(stamp) == {"file": tmp_path / "batches"}


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("no_such_module.Mine", "No module"),
        ("pytorch_lightning.callbacks.Mine", "Mine"),
        ("sys.exit", "not a subclass of pytorch_lightning.Callback"),
        ("pytorch_lightning.callbacks.EarlyStopping", "monitor"),
    ],
)
def test_a_target_that_is_not_a_callback_is_refused_and_never_called(target: str, problem: str):
    message = rf"^callbacks\.mine\._target_={target}: .*{problem}.*; next step: "
    with pytest.raises(ConfigError, match=message):
        build_callbacks({"mine": {"_target_": target}})
