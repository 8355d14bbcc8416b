"""Files that were damaged or exchanged while nothing ran: checkpoint, record, data, ..."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from faults import damage, warm

from ablations.record import CHECKPOINT, RECORD

pytestmark = pytest.mark.faults


def often(times: int, *damages: damage.Damage) -> list[tuple[str, int, damage.Damage]]:
    return [(each.__name__.replace("_", " "), n, each) for each in damages for n in range(times)]


def named(name: str, what: damage.Damage) -> tuple[str, int, damage.Damage]:
    return name, 0, what


RANDOM = (damage.flip_bit, damage.zero_block, damage.truncate)
REPLACED = (damage.make_folder, damage.link_nowhere)


def foreign(path: Path, random: Random) -> None:
    """Put the same file of another run in its place."""
    (other,) = (folder for folder in path.parent.parent.iterdir() if folder != path.parent)
    shutil.copy(other / path.name, path)


def changed(**values: object) -> damage.Damage:
    """Give a JSON file other values."""

    def change(path: Path, random: Random) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def _in_data(**values: object) -> damage.Damage:
    def change(path: Path, random: Random) -> None:
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"data": content["data"] | values}))

    return change


RECORDS = [
    *often(3, *RANDOM),
    *often(1, *REPLACED, foreign, damage.hostile_pickle),
    named("an array", damage.replace_by(b"[]")),
    named("deep nesting", damage.replace_by(b"[" * 100_000)),
    named("NaN", changed(seconds=float("nan"))),
    named("status", changed(status="bogus")),
    named("error of 700 %", changed(train={"top1": 7, "top5": 0.1, "loss": 1.0, "count": 3})),
    named("another seed", changed(seed=3)),
    named("another id", changed(run_id="0" * 12)),
    named("negative counts", changed(epochs=-2)),
    named("other classes", _in_data(classes=3)),
    named("other data", _in_data(fingerprint="0" * 64)),
]
CHECKPOINTS = [
    *often(5, *RANDOM),
    *often(1, *REPLACED, foreign, damage.hostile_checkpoint, damage.hostile_pickle),
    named("a text", damage.replace_by(b"not a checkpoint")),
]
CONFIGURATIONS = [
    *often(4, damage.flip_bit),
    *often(1, damage.truncate, *REPLACED, foreign, damage.hostile_yaml),
    named("no YAML", damage.replace_by(b"{a: [")),
    named("NUL", damage.replace_by(b"a\0b: 1")),
]


def numbered(cases: list[tuple[str, int, damage.Damage]]) -> pytest.MarkDecorator:
    ids = [f"{name} {n}" for name, n, _ in cases]
    return pytest.mark.parametrize(("name", "n", "what"), cases, ids=ids)


@numbered(RECORDS)
def test_a_damaged_record_is_refused(name, n, what, laboratory, case, row, tmp_path: Path):
    row("damaged files", name, "record")
    shutil.copytree(laboratory.finished / case.folder.name, case.folder)
    _check(case, laboratory.training(case.output), case.folder / RECORD, what, tmp_path)


@numbered(CHECKPOINTS)
def test_a_damaged_checkpoint_is_not_continued(name, n, what, laboratory, case, row, tmp_path):
    row("damaged files", name, "checkpoint")
    shutil.copytree(laboratory.interrupted / case.folder.name, case.folder)
    _check(case, laboratory.training(case.output), case.folder / CHECKPOINT, what, tmp_path)


@numbered(CONFIGURATIONS)
def test_a_damaged_configuration_is_not_trained(name, n, what, laboratory, case, row, tmp_path):
    row("damaged files", name, "config.yaml")
    shutil.copytree(laboratory.interrupted / case.folder.name, case.folder)
    path = case.folder / "config.yaml"
    _check(case, warm.Frozen(case.folder), path, what, tmp_path, path.read_bytes())


STORE = [
    "train_images.npy",
    "train_labels.npy",
    "test_images.npy",
    "mean_image.npy",
    "manifest.json",
]


@pytest.mark.parametrize("file", STORE)
@numbered([*often(1, *RANDOM, damage.flip_bit, damage.remove, *REPLACED)])
def test_a_damaged_store_is_built_again(name, n, what, file, laboratory, case, row, tmp_path):
    row("damaged files", name, "data store")
    cache = tmp_path / "cache"
    shutil.copytree(laboratory.cache, cache)
    (path,) = cache.glob(f"*/{file}")
    training = replace(laboratory.training(case.output), cache=cache)
    _check(case, training, path, what, tmp_path)


@pytest.mark.parametrize("file", ["train_images.npy", "test_images.npy", "train_crcs.npy"])
@numbered([*often(2, damage.flip_bit), *often(1, damage.zero_block)])
def test_a_damaged_image_of_a_large_store_ends_the_run(
    name, n, what, file, laboratory, case, row, tmp_path
):
    row("damaged files", name, "large data store")
    cache = tmp_path / "cache"
    shutil.copytree(laboratory.cache, cache)
    (path,) = cache.glob(f"*/{file}")
    training = replace(laboratory.training(case.output), cache=cache, large=True)
    _check(case, training, path, what, tmp_path)


@numbered([*often(5, damage.flip_bit), *often(2, *RANDOM[1:]), *often(1, *REPLACED)])
def test_damaged_parquet_is_refused_or_other_data(name, n, what, laboratory, case, row, tmp_path):
    row("damaged files", name, "parquet")
    whole = Path(laboratory.config.data.train[0])
    train = tmp_path / whole.parent.name / whole.name  # the data are named after the folder
    train.parent.mkdir()
    shutil.copy(whole, train)
    data = replace(laboratory.config.data, train=(str(train),))
    training = replace(laboratory.training(case.output, data=data), cache=tmp_path / "cache")
    _check(case, training, train, what, tmp_path, whole.read_bytes(), other_data=True)


def _check(
    case, work, path: Path, what: damage.Damage, tmp_path: Path, whole=b"", *, other_data=False
) -> None:
    """Damage a file, train, remove or restore it if it was refused, and train again.

    Args:
        case: The fault.
        work: Trains the run.
        path: The file.
        what: The damage.
        tmp_path: Folder for the log.
        whole: Undamaged content, if the file cannot be made again.
        other_data: Whether the first training may be that of another run.
    """
    what(path, case.random)
    found = warm.start(work, tmp_path / "log")
    case.check(found, ended=found.code == 0 and not other_data)
    if found.code or other_data:
        damage.clear(path)
        if whole:
            path.write_bytes(whole)
    case.check(warm.start(work, tmp_path / "log"), ended=True)
    assert not path.with_name("hacked").exists()
