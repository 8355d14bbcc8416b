"""``python -m ablations.train RUN_FOLDER``."""

from dataclasses import replace
from pathlib import Path

import pytest
from commands import numbers_of
from filelock import FileLock

from ablations import train as module
from ablations.config import Accelerator, Trainer
from ablations.record import Record, load

ALONE = ("-m", "ablations.train")


@pytest.fixture
def frozen(tiny_job, runs_dir: Path):
    """Makes the folder of a run that is not trained yet."""

    def frozen(**trainer: int) -> Path:
        job = tiny_job(trainer=Trainer(Accelerator.cpu, threads=1, **trainer))
        folder = runs_dir / job.run.run_id
        folder.mkdir()
        job.save(folder)
        return folder

    return frozen


@pytest.fixture
def trained(monkeypatch) -> list[Path]:
    """Folders of the runs that would be trained; none is."""
    found: list[Path] = []
    monkeypatch.setattr(module, "train", lambda job, folder: found.append(folder))
    return found


@pytest.mark.slow
def test_a_frozen_run_gives_the_numbers_of_training_in_this_process(frozen, start, record: Record):
    folder = frozen()
    alone = start(str(folder), program=ALONE).finish()
    assert alone.code == 0, alone.err
    found = load(folder)
    assert found is not None
    assert numbers_of(found) == numbers_of(record)
    assert not alone.left_over(5)


@pytest.mark.parametrize(
    ("trainer", "environment"),
    [
        ({"devices": 2}, {}),
        ({"num_nodes": 2}, {}),
        ({}, {"WORLD_SIZE": "2"}),
        ({"devices": 2, "num_nodes": 2}, {"WORLD_SIZE": "2"}),
    ],
)
def test_a_wrong_number_of_processes(trainer, environment, frozen, trained, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = frozen(**trainer)
    nodes, devices = trainer.get("num_nodes", 1), trainer.get("devices", 1)
    next_step = f"torchrun --nnodes={nodes} --nproc-per-node={devices} -m ablations.train {folder}"
    with pytest.raises(SystemExit, match=f"by {nodes * devices} processes.*{next_step}"):
        module.main([str(folder)])
    assert trained == []


def test_a_folder_that_is_no_run(runs_dir: Path, trained):
    for folder in (runs_dir, runs_dir / "missing"):
        with pytest.raises(SystemExit, match=f"^error: {folder}: is not the folder of a run"):
            module.main([str(folder)])
    assert trained == []


def test_a_run_that_is_done_is_left_alone(frozen, record: Record, trained):
    folder = frozen()
    replace(record, run_id=folder.name).save(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    module.main([str(folder)])
    assert trained == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_another_process_trains(frozen, trained, monkeypatch):
    folder = frozen(devices=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        FileLock(folder / "lock"),
        pytest.raises(SystemExit, match="another process trains this run at the moment"),
    ):
        module.main([str(folder)])
    assert trained == []
    monkeypatch.setenv("RANK", "1")  # rank 0 has the lock of its run
    with FileLock(folder / "lock"):
        module.main([str(folder)])
    assert trained == [folder]
