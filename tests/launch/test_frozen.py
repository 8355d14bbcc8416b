"""``python -m ablations.train RUN_FOLDER``."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import numbers_of
from filelock import FileLock

from ablations import train as module
from ablations.config import Accelerator, Job, Trainer
from ablations.record import CHECKPOINT, RECORD, Record, load
from ablations.training import fit

ALONE = ("-m", "ablations.train")


@pytest.fixture
def frozen(tiny_job, runs_dir: Path):
    """Create the folder of a frozen run."""

    def frozen(**trainer: int) -> Path:
        job = tiny_job(trainer=Trainer(Accelerator.cpu, threads=1, **trainer))
        folder = runs_dir / job.run.run_id
        folder.mkdir()
        job.save(folder)
        return folder

    return frozen


@pytest.fixture
def trained(monkeypatch) -> list[Path]:
    """Folders of the runs that were to be trained, which none is."""
    found: list[Path] = []
    monkeypatch.setattr(fit, "train", lambda job, folder: found.append(folder))
    monkeypatch.setattr(module, "end_with_parent", lambda *given, **more: None)
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
        ({"num_nodes": 2}, {}),
        ({}, {"RANK": "0", "WORLD_SIZE": "2"}),
        ({"devices": 2, "num_nodes": 2}, {"RANK": "0", "WORLD_SIZE": "2"}),
    ],
)
def test_a_wrong_number_of_processes(trainer, environment, frozen, trained, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = frozen(**trainer)
    nodes, devices = trainer.get("num_nodes", 1), trainer.get("devices", 1)
    next_step = f"torchrun --.* --nproc-per-node={devices} -m ablations.train {folder}"
    with pytest.raises(SystemExit, match=f"by {nodes * devices} processes.*{next_step}"):
        module.main([str(folder)])
    assert trained == []


def test_a_folder_that_is_no_run(runs_dir: Path, trained):
    for folder in (runs_dir, runs_dir / "missing"):
        with pytest.raises(SystemExit, match=f"^error: {folder}: not the folder of a run"):
            module.main([str(folder)])
    assert trained == []


def test_a_run_that_is_done_is_left_alone(frozen, record: Record, trained):
    folder = frozen()
    replace(record, run_id=folder.name).save(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    module.main([str(folder)])
    assert trained == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_another_process_trains(frozen, trained):
    folder = frozen()
    with (
        FileLock(folder / "lock"),
        pytest.raises(SystemExit, match="another process is training this run"),
    ):
        module.main([str(folder)])
    assert trained == []
    module.main([str(folder)])
    assert trained == [folder]


def test_a_rank_gives_the_agent_the_line_of_an_error_that_is_no_bug(frozen, monkeypatch):
    def fail(job: Job, folder: Path) -> None:
        raise OSError(5, "Input/output error", "/data/x")

    monkeypatch.setattr(fit, "train", fail)
    monkeypatch.setattr(module, "end_with_parent", lambda *given, **more: None)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_ERROR_FILE": "e"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=r"/data/x: Input/output error; next step"):
        module.main([str(frozen(devices=2))])
    assert "/data/x: Input/output error; next step" in Path("e").read_text()


# Data that change between the plan of a run and its training


@pytest.fixture
def on_copy(tiny_job: Callable[..., Job], runs_dir: Path, tmp_path: Path) -> Path:
    """The folder of a run that uses a copy of its store, with a checkpoint after each step."""
    job = tiny_job(trainer=Trainer(Accelerator.cpu, threads=1, checkpoint_steps=1))
    shutil.copytree(job.store, tmp_path / "store")
    folder = runs_dir / job.run.run_id
    folder.mkdir()
    replace(job, store=str(tmp_path / "store")).save(folder)
    return folder


def _flip(images: Path, row: int) -> None:
    pixels = np.load(images, mmap_mode="r+")
    pixels[row, 0, 0, 0] ^= 1
    pixels.flush()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, "is missing or damaged .*which prepares the data"),
        (
            lambda store: _flip(store / "train_images.npy", 0),
            "is missing or damaged .train_images: checksum",
        ),
        (lambda store: (store / "manifest.json").write_text("{}"), "is missing or damaged"),
    ],
    ids=["missing", "image", "manifest"],
)
def test_a_run_whose_store_is_missing_or_damaged_does_not_begin(harm, message, on_copy, tmp_path):
    harm(tmp_path / "store")
    with pytest.raises(SystemExit, match=f"^error: the data store {tmp_path}/store {message}"):
        module.main([str(on_copy)])
    assert not {CHECKPOINT, RECORD} & {path.name for path in on_copy.iterdir()}


def test_a_run_does_not_begin_on_other_data(on_copy: Path, tiny_job):
    job = Job.load(on_copy)
    other = replace(job, run=job.run.on_data("0" * 64, "other"))
    folder = on_copy.rename(on_copy.with_name(other.run.run_id))
    other.save(folder)
    with pytest.raises(SystemExit, match=rf"^error: the data store .*{other.run.run_id}.*0000000"):
        module.main([str(folder)])
    assert not {CHECKPOINT, RECORD} & {path.name for path in folder.iterdir()}
