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


RANDOM = (damage.flip_bit, damage.garble, damage.zero_block, damage.truncate)
REPLACED = (damage.empty, damage.make_folder, damage.link_nowhere, damage.link_to_itself)


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
    *often(1, damage.garble, damage.truncate, *REPLACED, foreign, damage.hostile_yaml),
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
    whole = path.read_bytes()
    what(path, case.random)
    ended = warm.start(warm.Frozen(case.folder), tmp_path / "log")
    case.check_numbers(ended=ended.code == 0)
    case.check_words(ended.said, ended.code != 0)
    case.check_left(ended.orphans)
    damage.clear(path)
    path.write_bytes(whole)
    again = warm.start(warm.Frozen(case.folder), tmp_path / "log")
    case.check_numbers(ended=True)
    case.check_words(again.said, again.code != 0)
    case.check_left(again.orphans, ended=True)
    assert not (case.folder / "hacked").exists()


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
@numbered([*often(2, damage.flip_bit), *often(1, damage.garble, damage.zero_block)])
def test_a_damaged_image_of_a_large_store_ends_the_run(
    name, n, what, file, laboratory, case, row, tmp_path
):
    row("damaged files", name, "large data store")
    cache = tmp_path / "cache"
    shutil.copytree(laboratory.cache, cache)
    (path,) = cache.glob(f"*/{file}")
    training = replace(laboratory.training(case.output), cache=cache, large=True)
    _check(case, training, path, what, tmp_path)


@numbered(
    [
        *often(5, damage.flip_bit, damage.garble),
        *often(2, damage.truncate, damage.zero_block),
        *often(1, *REPLACED),
    ]
)
def test_damaged_parquet_is_refused_or_other_data(name, n, what, laboratory, case, row, tmp_path):
    row("damaged files", name, "parquet")
    whole = Path(laboratory.config.data.train[0])
    train = tmp_path / whole.parent.name / whole.name  # the data are named after the folder
    train.parent.mkdir()
    shutil.copy(whole, train)
    data = replace(laboratory.config.data, train=(str(train),))
    training = replace(laboratory.training(case.output, data=data), cache=tmp_path / "cache")
    what(train, case.random)
    ended = warm.start(training, tmp_path / "log")
    case.check_numbers(ended=False)
    case.check_words(ended.said, ended.code != 0)
    case.check_left(ended.orphans)
    damage.clear(train)
    shutil.copyfile(whole, train)
    again = warm.start(training, tmp_path / "log")
    case.check_numbers(ended=True)
    case.check_words(again.said, again.code != 0)
    case.check_left(again.orphans, ended=True)


def _check(case, training: warm.Training, path: Path, what: damage.Damage, tmp_path: Path) -> None:
    """Damage a file, train, remove it if the command refused it, and train again."""
    what(path, case.random)
    ended = warm.start(training, tmp_path / "log")
    case.check_numbers(ended=ended.code == 0)
    case.check_words(ended.said, ended.code != 0)
    case.check_left(ended.orphans)
    if ended.code:
        damage.clear(path)
    again = warm.start(training, tmp_path / "log")
    case.check_numbers(ended=True)
    case.check_words(again.said, again.code != 0)
    case.check_left(again.orphans, ended=True)
    assert not path.with_name("hacked").exists()
