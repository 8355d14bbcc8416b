import csv
from pathlib import Path

import pytest
from commands import hook

from ablations.config import Logger, LoggerKind
from ablations.record import load
from ablations.training.checkpoints import AtomicCheckpointIO


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_for_each_epoch_and_the_final_errors(tiny_job, train_here):
    folder = train_here(tiny_job(logger=Logger(LoggerKind.csv)))
    record = load(folder)
    assert record is not None
    first, second, *_ = rows(folder)
    assert [row["step"] for row in (first, second)] == ["3", "6"]
    assert [float(row["val/top1_error"]) for row in (first, second)] == [
        point.val.top1 for point in record.curve
    ]
    final = [float(row["test/top1_error"]) for row in rows(folder) if row["test/top1_error"]]
    assert final == [record.test["ten_view"].top1]


def test_csv_has_an_epoch_once_that_was_lost_after_its_row_was_written(
    tiny_job, train_here, monkeypatch
):
    job = tiny_job(logger=Logger(LoggerKind.csv))
    with monkeypatch.context() as patch:
        save = AtomicCheckpointIO.save_checkpoint

        def fail(self, checkpoint, path, storage_options=None):
            if checkpoint["epoch"]:  # killed between the row of the second epoch and its checkpoint
                raise SystemExit(1)
            save(self, checkpoint, path, storage_options)

        patch.setattr(AtomicCheckpointIO, "save_checkpoint", fail)
        with pytest.raises(SystemExit):
            train_here(job)
    folder = train_here(job)
    epochs = [float(row["epoch"]) for row in rows(folder) if row["val/top1_error"]]
    assert epochs == [1, 2]


def test_tensorboard_writes_events(tiny_job, train_here):
    folder = train_here(tiny_job(logger=Logger(LoggerKind.tensorboard)))
    events = [path.read_bytes() for path in (folder / "tensorboard").glob("events.*")]
    for name in (b"val/top1_error", b"test/top1_error"):
        assert any(name in content for content in events)


# In processes

# Python without the package wandb.
ABSENT = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, *rest: None if name.split(".")[0] == "wandb" else find(name, *rest)
)
"""


@pytest.fixture
def without_wandb() -> dict[str, str]:
    """Environment variables of a Python that does not find the package."""
    return hook(ABSENT)


@pytest.mark.slow
def test_a_run_needs_no_wandb(start, tiny, without_wandb):
    command = start(*tiny, "logger=tensorboard", **without_wandb).finish()
    assert command.code == 0, command.out + command.err
    (path,) = Path("runs").glob("*/record.json")
    record = load(path.parent)
    assert record is not None
    assert (record.status, record.epochs) == ("finished", 2)


@pytest.mark.slow
def test_a_logger_without_its_package_is_told_in_one_line(start, tiny, without_wandb):
    command = start(*tiny, "logger=wandb", **without_wandb).finish(120)
    assert command.code == 1
    assert command.err.startswith("error: logger=wandb: the package is not installed; next step: ")
    assert command.err.count("\n") == 1
    assert not list(Path().glob("runs/*/config.yaml"))
