"""The store: written once and whole, checked, split, and taken from another machine."""

import errno
import json
import logging
import os
import pickle
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
    # Grays 0, 10, ... 50 in the training split alone: mean 25, variance 35 / 12 * 100.
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
    with pytest.raises(ConfigError, match=r"no training images, of 1 classes: wolf"):
        _build(replace(images, classes=["a", "b", "wolf"]), tmp_path)


# Written once, and whole


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
    with pytest.raises(ConfigError, match=r"cannot write .*the reason of the system.*next step"):
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
    with pytest.raises(ConfigError, match=r"cache folder .*/file/cache .*cache=FOLDER"):
        prepare(DataConfig(), tmp_path / "file/cache")


def test_progress_is_reported_about_once_a_second(tiny, tmp_path: Path, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.4))
    monkeypatch.setattr(build.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(build, "CHUNK_BYTES", 8 * 8 * 3 * 6)
    lines: list[str] = []
    prepare(tiny, tmp_path, lines.append)
    assert lines[0] == "decoding train images: 18 of 60, less than a minute left"
    assert len(lines) == 3 + 1 + 1


def test_few_images_are_decoded_ahead(monkeypatch):
    # Data need not fit into memory.
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


@pytest.mark.parametrize("name", ["train_images", "test_labels", "mean_image"])
@pytest.mark.parametrize("harm", ["cut", "flip", "delete", "lie"])
def test_a_damaged_array_is_built_again(
    tiny: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, harm: str
):
    sound = prepare(tiny, tmp_path)
    path = sound.path / f"{name}.npy"
    content = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(content[:-1])
    elif harm == "flip":
        content[-1] ^= 1
        path.write_bytes(content)
    elif harm == "delete":
        path.unlink()
    else:
        np.save(path, np.zeros(3))
    with caplog.at_level(logging.WARNING):
        again = prepare(tiny, tmp_path)
    assert "is damaged" in caplog.text
    assert again.fingerprint == sound.fingerprint
    assert damage(again.path) is None


@pytest.mark.parametrize(
    "harm", ["{", "[]", "null", {"color_std": None}, {"classes": None}, {"fingerprint": "0" * 64}]
)
def test_a_damaged_manifest_is_built_again(tiny: DataConfig, tmp_path: Path, harm: str | dict):
    sound = prepare(tiny, tmp_path)
    file = sound.path / "manifest.json"
    harmed = {**json.loads(file.read_text()), **harm} if isinstance(harm, dict) else None
    file.write_text(json.dumps(harmed) if harmed else str(harm))
    given = replace(tiny, source=Source.huggingface, path=str(sound.path))
    with pytest.raises(ConfigError, match=r"the store is damaged .*copy it again"):
        prepare(given, tmp_path)
    with pytest.raises(ConfigError, match="no data store in"):
        Store.open(sound.path)
    again = prepare(tiny, tmp_path)
    assert (again.fingerprint, again.classes) == (sound.fingerprint, sound.classes)
    assert (again.color_std == sound.color_std).all()


def test_a_large_array_is_checked_whole_where_it_is_newer(tiny: DataConfig, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SMALL_BYTES", 0)
    path = prepare(tiny, tmp_path).path
    file = path / "train_images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert damage(path) == "train_images: checksum differs"


# Opening and copying


def test_a_store_pickles_as_its_path(reference: Store):
    assert reference.train_images[0].size
    content = pickle.dumps(reference)
    assert len(content) < 1000
    copied = pickle.loads(content)
    assert (copied.mean_image == reference.mean_image).all()
    assert (copied.train_images[1] == reference.train_images[1]).all()


def test_a_store_is_used_without_its_source(reference: Store, plain_folders, tmp_path: Path):
    shutil.copytree(reference.path, tmp_path / "copy")
    data = replace(plain_folders, path=str(tmp_path / "copy"))
    store = prepare(data, tmp_path / "cache")
    assert store.path == tmp_path / "copy"
    assert (store.fingerprint, store.name) == (reference.fingerprint, reference.name)
    with pytest.raises(ConfigError, match=r"have 64 pixels, and data\.size=32"):
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
    with pytest.raises(ConfigError, match=rf"12 training images .*val_size={val_size}"):
        _store(np.arange(12) % 3).split(limit, val_size)
