"""The store: built once and completely, verified, split, and copied between machines."""

import errno
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import platformdirs
import pytest

from ablations.config import ConfigError, DataConfig, Source, Storage
from ablations.data import build, cache
from ablations.data import store as store_module
from ablations.data.sources import Sample, SourceData, Split
from ablations.data.store import Store, damage, prepare
from ablations.data.stratified import stratified_order

# Prepares the tiny built-in data in another process; `delay` seconds pass before each image.
CHILD = """
import sys, time
from pathlib import Path
from ablations.config import DataConfig
from ablations.data import store, synthetic
synthetic.TRAIN_IMAGES, synthetic.TEST_IMAGES, delay = 60, 20, float(sys.argv[2])
draw = synthetic._samples
def slowly(*arguments):
    for sample in draw(*arguments):
        print("drawing", flush=True)
        time.sleep(delay)
        yield sample
synthetic._samples = slowly
print(store.prepare(DataConfig(size=8, crop=8), Path(sys.argv[1]), print).fingerprint)
"""


def _child(cache: Path, delay: float) -> subprocess.Popen[str]:
    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *sys.path]))
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(cache), str(delay)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.fixture
def tiny(few_synthetic) -> DataConfig:
    return DataConfig(size=8, crop=8)


def _images(pixels: np.ndarray, labels: Iterable[int] | None = None) -> SourceData:
    def split(labels: np.ndarray) -> Split:
        return Split(labels, (Sample(image, f"image {n}") for n, image in enumerate(pixels)))

    alternating = np.arange(len(pixels)) % 2
    given = alternating if labels is None else np.array(labels)
    return SourceData("grays", ["a", "b"], split(alternating), split(given))


def _build(images: SourceData, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    build.build(images, folder, DataConfig(size=8, crop=8), lambda line: None)
    return Store.open(folder).fingerprint


# What is stored


def test_numbers_of_a_small_store_by_hand(shades_dataset: DataConfig, tmp_path: Path):
    store = prepare(shades_dataset, tmp_path)
    assert store.classes == ("even", "odd")
    assert store.train_labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert store.test_images[:, 0, 0, 0].tolist() == [60, 70]
    assert store.train_images.shape == (6, 8, 8, 3)
    assert store.train_images.dtype == np.uint8
    # The training split has grays 0, 10, ... 50: mean 25, variance 35 / 12 * 100.
    assert (store.mean_image == 25).all()
    assert store.color_std == pytest.approx([np.sqrt(3 * 3500 / 12), 0, 0], abs=1e-3)
    assert store.skipped == {}


@pytest.mark.parametrize("chunk_bytes", [1, 600, 2**22])
def test_the_store_is_the_same_for_every_chunk_length(chunk_bytes, tmp_path: Path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (25, 8, 8, 3), np.uint8)
    monkeypatch.setattr(build, "CHUNK_BYTES", chunk_bytes)
    assert _build(_images(pixels), tmp_path).startswith("36b597dff20b13e1")
    assert (np.load(tmp_path / "train_images.npy") == pixels).all()


@pytest.mark.slow
@pytest.mark.parametrize("storage", list(Storage))
def test_the_store_of_photographs_is_the_same_for_every_chunk_length(
    storage, plain_folders: DataConfig, tmp_path: Path, monkeypatch
):
    data = replace(plain_folders, storage=storage)
    one = prepare(data, tmp_path / "one")
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    many = prepare(data, tmp_path / "many")
    content = [(store.path / "manifest.json").read_bytes() for store in (one, many)]
    assert content[0] == content[1]


def test_the_fingerprint_depends_on_pixels_labels_and_splits(tmp_path: Path):
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    changed = pixels.copy()
    changed[3, 7, 7, 2] = 1
    variants = [
        _images(pixels),
        replace(_images(changed), test=_images(pixels).test),
        replace(_images(changed), train=_images(pixels).train),
        _images(pixels, [0, 1, 0, 0]),
        _images(pixels[:3]),
    ]
    found = {_build(images, tmp_path / str(n)) for n, images in enumerate(variants)}
    assert len(found) == len(variants)


def test_test_images_of_an_unknown_class_are_refused(tmp_path: Path):
    images = _images(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 2, 2])
    with pytest.raises(ConfigError, match=r"no training images .*\(wolf\)"):
        _build(replace(images, classes=["a", "b", "wolf"]), tmp_path)


# Built once and completely


def test_data_are_decoded_once(tiny: DataConfig, tmp_path: Path):
    lines: list[str] = []
    first = prepare(tiny, tmp_path, lines.append)
    second = prepare(replace(tiny, train_limit=10, val_size=5, name="other"), tmp_path)
    assert lines == ["decoded 60 training and 20 test images"]
    assert second.path == first.path
    assert second.fingerprint == first.fingerprint


def test_another_size_or_another_file_is_another_store(shades_dataset: DataConfig, tmp_path: Path):
    first = prepare(shades_dataset, tmp_path)
    larger = prepare(replace(shades_dataset, size=16), tmp_path)
    os.utime(shades_dataset.train[0], (0, 0))
    touched = prepare(shades_dataset, tmp_path)
    assert len({first.path, larger.path, touched.path}) == 3
    assert first.fingerprint == touched.fingerprint != larger.fingerprint


def test_two_processes_build_once(tmp_path: Path):
    children = [_child(tmp_path, 0.01) for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0].splitlines() for child in children]
    assert all(child.returncode == 0 for child in children)
    assert outputs[0][-1] == outputs[1][-1]
    lines = [line for output in outputs for line in output]
    assert lines.count("drawing") == 80
    assert lines.count("waiting for another process that prepares the same data") == 1


def test_a_killed_build_leaves_nothing_that_counts_as_whole(tiny: DataConfig, tmp_path: Path):
    child = _child(tmp_path, 60)
    assert child.stdout is not None
    assert child.stdout.readline() == "drawing\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert [path.name.endswith(".partial") for path in tmp_path.glob("*px-*/")] == [True]
    store = prepare(tiny, tmp_path)
    assert len(store.train_labels) == 60
    assert list(tmp_path.glob("*px-*/")) == [store.path]


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_named_and_left_clean(
    tiny: DataConfig, tmp_path: Path, monkeypatch, number: int
):
    def fail(handle: int) -> None:  # after all images of a split
        raise OSError(number, "the reason of the system")

    monkeypatch.setattr(build.os, "fsync", fail)
    with pytest.raises(ConfigError, match=r"^cache=.*the reason of the system.*next step"):
        prepare(tiny, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*px-*/"))


def test_a_disk_that_is_too_small_is_reported_before_the_work(tiny, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match="a larger disk with cache=FOLDER"):
        prepare(tiny, tmp_path)


def test_the_cache_folder_is_the_variable_or_the_users(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path
    monkeypatch.delenv("ABLATIONS_CACHE")
    assert cache.cache_folder() == platformdirs.user_cache_path("alexnet-ablations")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^cache=.*/file/cache: .*cache=FOLDER"):
        prepare(DataConfig(), tmp_path / "file/cache")


def test_progress_is_reported_about_once_a_second(tiny, tmp_path: Path, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.4))
    monkeypatch.setattr(build.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(build, "CHUNK_BYTES", 8 * 8 * 3 * 6)
    lines: list[str] = []
    prepare(tiny, tmp_path, lines.append)
    assert lines[0] == "decoding train images: 18 of 60, 3 s left"
    assert len(lines) == 3 + 1 + 1


def test_few_images_are_decoded_ahead(monkeypatch):
    # The data may not fit into memory.
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)
    monkeypatch.setattr(build, "cpu_cores", lambda: 2)
    drawn: list[int] = []

    def samples():
        for n in range(100):
            drawn.append(n)
            yield Sample(np.zeros((8, 8, 3), np.uint8), str(n))

    split = Split(np.zeros(100, int), samples())
    for done, _ in enumerate(build._encoded(split, DataConfig(size=8, crop=8))):
        assert len(drawn) <= done + 6
    assert len(drawn) == 100


# Damage


def _flip(path: Path, place: int = -1) -> None:
    """Flip a bit without changing the times, as a failing disk does."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["train_images", "test_labels", "mean_image", "train_crcs"])
@pytest.mark.parametrize("harm", ["cut", "flip", "delete", "empty", "lie"])
def test_a_damaged_array_is_built_again(
    tiny: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: str
):
    sound = prepare(tiny, tmp_path)
    path = sound.path / f"{name}.npy"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "flip":
        _flip(path)
    elif harm == "delete":
        path.unlink()
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        np.save(path, np.zeros(3))
    with caplog.at_level(logging.WARNING):
        again = prepare(tiny, tmp_path)
    assert "is damaged" in caplog.text
    assert again.fingerprint == sound.fingerprint
    assert damage(again.path) is None


def test_no_byte_of_a_header_changes_unnoticed(tiny: DataConfig, tmp_path: Path):
    path = prepare(tiny, tmp_path).path
    file = path / "test_labels.npy"
    sound, values = file.read_bytes(), np.load(file)
    for place in range(len(sound) - values.nbytes):
        content = bytearray(sound)
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        assert damage(path) or np.array_equal(np.load(file), values)


@pytest.mark.parametrize(
    "harm",
    [
        "{",
        "[]",
        "null",
        "[" * 100_000,
        {"color_std": None},
        {"color_std": [0.5, 0.2, 0.1]},
        {"color_basis": [[0, 0, 1], [0, 1, 0], [1, 0, 0]]},
        {"classes": None},
        {"classes": ["a"] * 10},
        {"name": "other"},
        {"skipped": {"image 1": "broken"}},
        {"fingerprint": "0" * 64},
        {"layout": 3},
        {"sha256": None},
        {"arrays": {}},
    ],
    ids=lambda harm: str(harm)[:40],
)
def test_a_damaged_manifest_is_built_again(
    tiny: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str | dict
):
    sound = prepare(tiny, tmp_path)
    file = sound.path / "manifest.json"
    harmed = {**json.loads(file.read_text()), **harm} if isinstance(harm, dict) else None
    file.write_text(json.dumps(harmed) if harmed else str(harm))
    given = replace(tiny, source=Source.huggingface, path=str(sound.path))
    with pytest.raises(ConfigError, match=r"the store is damaged .*copy it again") as refused:
        prepare(given, tmp_path)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="no data store in"):
        Store.open(sound.path)
    with caplog.at_level(logging.WARNING):
        again = prepare(tiny, tmp_path)
    assert "is damaged" in caplog.text
    assert again.classes == sound.classes
    assert damage(again.path) is None
    assert json.loads(file.read_text())["fingerprint"] == sound.fingerprint


def test_a_store_of_an_earlier_version_is_refused(tiny: DataConfig, tmp_path: Path):
    store = prepare(tiny, tmp_path)
    file = store.path / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["layout"], manifest["sha256"]
    file.write_text(json.dumps(manifest))
    given = replace(tiny, source=Source.huggingface, path=str(store.path))
    with pytest.raises(ConfigError, match=r"of another version .*prepare the data again"):
        prepare(given, tmp_path)
    assert "layout unknown" in str(damage(store.path))


@pytest.fixture(params=list(Storage))
def large(request, tiny: DataConfig, tmp_path: Path, monkeypatch) -> Store:
    """A store that is too large to be fully verified at every start."""
    monkeypatch.setattr(store_module, "VERIFIED_BYTES", 0)
    return prepare(replace(tiny, storage=request.param), tmp_path)


def test_all_but_the_images_of_a_large_store_is_checked_at_every_start(large: Store):
    names = {file.stem for file in large.path.glob("*.npy")} - {"train_images", "test_images"}
    assert names >= {"train_labels", "test_labels", "mean_image", "train_crcs", "test_crcs"}
    for name in names:
        file = large.path / f"{name}.npy"
        assert damage(large.path) is None
        _flip(file)
        assert damage(large.path) == f"{name}: checksum differs"
        _flip(file)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_of_a_large_store_is_checked_when_it_is_read(large: Store, split: str):
    last = {"train": 59, "test": 19}[split]
    _flip(large.path / f"{split}_images.npy")
    assert damage(large.path) is None
    store = Store.open(large.path)
    images = {"train": store.train_images, "test": store.test_images}[split]
    assert images[:last].shape == (last, 8, 8, 3)
    problem = rf"{large.path} is damaged \(image {last} of {split}_images.* next step: delete"
    for rows in (last, [0, last], slice(None)):
        with pytest.raises(ConfigError, match=problem):
            images[rows]


def test_checked_images_are_the_images(large: Store, monkeypatch):
    checked = large.train_images[:], large.test_images[[3, 1]]
    monkeypatch.setattr(store_module, "VERIFIED_BYTES", 2**30)
    plain = Store.open(large.path)
    assert (checked[0] == plain.train_images[:]).all()
    assert (checked[1] == plain.test_images[[3, 1]]).all()


# Sources that change


def test_other_content_of_the_same_size_and_time_is_other_data_once_prepared(
    shades_dataset: DataConfig, write_parquet, encode, tmp_path: Path, tiny_run
):
    store = prepare(shades_dataset, tmp_path / "cache")
    run = tiny_run.on_data(store.fingerprint, store.name)
    before, file = store.train_images[:], Path(shades_dataset.train[0])
    stat, content = file.stat(), bytearray(file.read_bytes())
    # The pixels of one image differ, with the same compressed size.
    shades = [encode(np.full((8, 8, 3), 10 * n + (n == 3), np.uint8)) for n in range(6)]
    write_parquet("train.parquet", shades, [0, 1, 0, 1, 0, 1], ["even", "odd"])
    assert file.stat().st_size == len(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    # Training uses the data as they were prepared.
    same = prepare(shades_dataset, tmp_path / "cache")
    assert (same.fingerprint, same.train_images[:].tolist()) == (run.fingerprint, before.tolist())
    assert Store.of_run(store.path, run).path == store.path
    # Prepared again, the data belong to another run.
    shutil.rmtree(store.path)
    other = prepare(shades_dataset, tmp_path / "cache")
    assert other.path == store.path
    assert other.train_images[3].tolist() != before[3].tolist()
    assert run.on_data(other.fingerprint, other.name).run_id != run.run_id
    with pytest.raises(ConfigError, match=rf"{other.path} .*{run.run_id}.*; next step"):
        Store.of_run(other.path, run)


# Opening and copying


def test_a_store_is_used_without_its_source(reference: Store, plain_folders, tmp_path: Path):
    shutil.copytree(reference.path, tmp_path / "copy")
    data = replace(plain_folders, path=str(tmp_path / "copy"))
    store = prepare(data, tmp_path / "cache")
    assert store.path == tmp_path / "copy"
    assert (store.fingerprint, store.name) == (reference.fingerprint, reference.name)
    with pytest.raises(ConfigError, match=r"^data\.size=32: .* 64 pixels"):
        prepare(replace(data, size=32, crop=32), tmp_path / "cache")


# Validation and limits


def _store(labels: np.ndarray) -> Store:
    store = Store(Path(), "", "", (), {}, np.zeros(3), np.zeros((3, 3)))
    store.__dict__["train_labels"] = labels
    return store


def test_every_stretch_of_the_order_holds_the_classes_in_proportion():
    labels = np.repeat([0, 1], [30, 60])
    order = stratified_order(labels)
    assert sorted(order.tolist()) == list(range(90))
    for start in range(0, 90, 9):
        assert abs(int((labels[order[start : start + 9]] == 0).sum()) - 3) <= 1


def test_validation_is_cut_evenly_and_the_limit_leaves_it_alone():
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    store = _store(labels)
    train, val = store.split(None, 100)
    assert np.bincount(labels[val]).tolist() == [50, 30, 20]
    assert train.dtype == val.dtype == np.int64
    assert sorted([*train, *val]) == list(range(1000))
    small, same = store.split(100, 100)
    larger, _ = store.split(200, 100)
    assert (val == same).all()
    assert np.bincount(labels[small]).tolist() == [50, 30, 20]
    assert set(small) <= set(larger) <= set(train)
    assert (np.diff(larger) > 0).all()
    assert store.split(None, 0)[0].tolist() == list(range(1000))


def test_the_split_is_the_same_for_ever():
    train, val = _store(np.arange(12) % 3).split(3, 3)
    assert (train.tolist(), val.tolist()) == ([3, 10, 11], [0, 1, 8])


@pytest.mark.parametrize(("limit", "val_size"), [(None, 12), (10, 3), (13, 1), (1, 12)])
def test_too_few_images_are_reported(limit: int | None, val_size: int):
    store = _store(np.arange(12) % 3)
    words = rf"^data.val_size={val_size} data.train_limit={limit or 'null'}: .* 12 training"
    with pytest.raises(ConfigError, match=words) as raised:
        store.split(limit, val_size)
    _, _, advice = str(raised.value).partition("next step: ")
    values = dict(re.findall(r"data\.(\w+)=(\w+)", advice))
    assert values["train_limit"] == "null"
    train, val = store.split(None, int(values["val_size"]))
    assert (len(train), len(val)) == (11, 1)
