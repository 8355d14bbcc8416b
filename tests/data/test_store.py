"""The store: built once and completely, verified, split, and copied between machines."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from ablations.config import ConfigError, DataConfig, Source, Storage
from ablations.data import build, cache, synthetic
from ablations.data import store as store_module
from ablations.data.build import LAYOUT, seal
from ablations.data.sources import Sample, SourceData, Split
from ablations.data.store import Store, prepare


@pytest.fixture
def tiny(few_synthetic) -> DataConfig:
    return DataConfig(size=8, crop=8)


def _images(pixels: np.ndarray, labels: Iterable[int] | None = None) -> SourceData:
    def split(labels: np.ndarray) -> Split:
        return Split(labels, (Sample(image, f"image {n}") for n, image in enumerate(pixels)))

    alternating = np.arange(len(pixels)) % 2
    given = alternating if labels is None else np.array(labels)
    return SourceData("grays", ["a", "b"], split(alternating), split(given))


# What is stored


def test_numbers_of_a_small_store_by_hand(shades_dataset: DataConfig, tmp_path: Path):
    store = prepare(shades_dataset, tmp_path)
    assert store.classes == ("even", "odd")
    assert store.train_labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert store.test_images[:][:, 0, 0, 0].tolist() == [60, 70]
    assert store.train_images.shape == (6, 8, 8, 3)
    # The training split has grays 0, 10, ... 50: mean 25, variance 35 / 12 * 100.
    assert (store.mean_image == 25).all()
    assert store.color_std == pytest.approx([np.sqrt(3 * 3500 / 12), 0, 0], abs=1e-3)
    assert store.skipped == {}


def test_few_images_are_in_memory_and_progress_is_reported(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(build, "GROUP", 10)
    pixels = np.random.default_rng(0).integers(0, 256, (25, 8, 8, 3), np.uint8)
    images, drawn, lines = _images(pixels), [], []
    samples = (drawn.append(sample) or sample for sample in images.train.samples)
    images = replace(images, train=replace(images.train, samples=samples))
    data = DataConfig(size=8, crop=8)
    build.build(images, tmp_path, data, lambda line: lines.append(f"{line} {len(drawn)}"))
    assert lines == [
        "decoding train images: 10 of 25, 0 s left 10",
        "decoding train images: 20 of 25, 0 s left 20",
        "decoding test images: 10 of 25, 0 s left 25",
        "decoding test images: 20 of 25, 0 s left 25",
        "decoded 25 training and 25 test images 25",
    ]
    store = Store(tmp_path)
    assert store.fingerprint.startswith("36b597dff20b13e1")
    assert (store.train_images[:] == pixels).all()


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
    found = set()
    for n, images in enumerate(variants):
        (tmp_path / str(n)).mkdir()
        build.build(images, tmp_path / str(n), DataConfig(size=8, crop=8), print)
        found.add(Store(tmp_path / str(n)).fingerprint)
    assert len(found) == len(variants)


# Built once and completely


def test_data_are_decoded_once(tiny: DataConfig, tmp_path: Path):
    lines: list[str] = []
    first = prepare(tiny, tmp_path, lines.append)
    second = prepare(replace(tiny, train_limit=10, val_size=5, name="other"), tmp_path)
    assert lines == ["preparing the data, once", "decoded 60 training and 20 test images"]
    assert second.path == first.path
    assert second.fingerprint == first.fingerprint


def test_another_size_or_another_file_is_another_store(shades_dataset: DataConfig, tmp_path: Path):
    first = prepare(shades_dataset, tmp_path)
    larger = prepare(replace(shades_dataset, size=16), tmp_path)
    os.utime(shades_dataset.train[0], (0, 0))
    touched = prepare(shades_dataset, tmp_path)
    assert len({first.path, larger.path, touched.path}) == 3
    assert first.fingerprint == touched.fingerprint != larger.fingerprint


def test_two_commands_at_once_build_once(tiny: DataConfig, tmp_path: Path, monkeypatch):
    draw, drawn = synthetic._samples, []

    def slowly(name: str, *rest) -> Iterator[Sample]:
        drawn.append(name)
        time.sleep(0.2)
        yield from draw(name, *rest)

    monkeypatch.setattr(synthetic, "_samples", slowly)
    with ThreadPoolExecutor(2) as commands:
        stores = list(commands.map(prepare, [tiny] * 2, [tmp_path] * 2))
    assert drawn == ["train", "test"]
    assert stores[0].fingerprint == stores[1].fingerprint


def test_a_store_appears_when_it_is_complete(tiny: DataConfig, tmp_path: Path, monkeypatch):
    draw, seen = synthetic._samples, set()

    def samples(*arguments) -> Iterator[Sample]:
        seen.update(path.suffix for path in tmp_path.glob("*px-*/"))
        yield from draw(*arguments)

    monkeypatch.setattr(synthetic, "_samples", samples)
    path = prepare(tiny, tmp_path).path
    path.rename(f"{path}.partial")  # as a killed command leaves it, at worst
    store = prepare(tiny, tmp_path)
    assert seen == {".partial"}
    assert list(tmp_path.glob("*px-*/")) == [store.path]
    assert Store(store.path, verify=True).fingerprint == store.fingerprint


def test_a_full_disk_is_named_and_left_clean(tiny: DataConfig, tmp_path: Path, monkeypatch):
    def fail(handle: int) -> None:  # after all images of a split
        raise OSError(errno.ENOSPC, "the reason of the system")

    monkeypatch.setattr(build.os, "fsync", fail)
    with pytest.raises(ConfigError, match=r"^cache=.*the reason of the system.*next step"):
        prepare(tiny, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*px-*/"))


def test_the_cache_folder_is_the_variable_or_the_users(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path
    monkeypatch.delenv("ABLATIONS_CACHE")
    assert cache.cache_folder() == platformdirs.user_cache_path("alexnet-ablations")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^cache=.*/file/cache: .*cache=FOLDER"):
        prepare(DataConfig(), tmp_path / "file/cache")


# Damage


def _flip(path: Path, place: int = -1) -> None:
    """Flip a bit without changing the times, as a failing disk does."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("train_images", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("test_labels", lambda path: np.save(path, np.zeros(3))),
        ("train_crcs", lambda path: _flip(path)),
        ("test_images", lambda path: path.unlink()),
    ],
)
def test_a_damaged_array_is_built_again(tiny: DataConfig, tmp_path: Path, name: str, harm):
    sound = prepare(tiny, tmp_path)
    harm(sound.path / f"{name}.npy")
    lines: list[str] = []
    prepare(tiny, tmp_path, lines.append)
    assert lines[0] == f"the data store {sound.path} is damaged: preparing the data again"
    assert Store(sound.path, verify=True).fingerprint == sound.fingerprint


@pytest.mark.parametrize("harm", ["{", {"color_std": [0.5, 0.2, 0.1]}])
def test_a_damaged_manifest_is_refused_or_built_again(
    tiny: DataConfig, tmp_path: Path, harm: str | dict
):
    sound = prepare(tiny, tmp_path)
    file = sound.path / "manifest.json"
    harmed = {**json.loads(file.read_text()), **harm} if isinstance(harm, dict) else None
    file.write_text(json.dumps(harmed) if harmed else str(harm))
    given = replace(tiny, source=Source.huggingface, path=str(sound.path))
    with pytest.raises(ConfigError, match=r"is missing or damaged .*copy the store again"):
        prepare(given, tmp_path)
    assert prepare(tiny, tmp_path).classes == sound.classes
    assert Store(sound.path, verify=True).fingerprint == sound.fingerprint


def test_a_store_of_an_earlier_version_is_refused(tiny: DataConfig, tmp_path: Path):
    store = prepare(tiny, tmp_path)
    file = store.path / "manifest.json"
    manifest = json.loads(file.read_text()) | {"layout": LAYOUT - 1}
    file.write_text(json.dumps(manifest | {"sha256": seal(manifest)}))
    with pytest.raises(ConfigError, match=f"layout {LAYOUT - 1}, not {LAYOUT}"):
        Store(store.path)


def test_stores_of_earlier_commits_are_found(tmp_path: Path):
    place = store_module._place(DataConfig(), tmp_path, print)
    assert place.name == "synthetic-32px-ce7e609ab084521d"


@pytest.mark.parametrize("storage", list(Storage))
def test_all_but_the_images_of_a_large_store_is_checked_at_every_start(
    storage: Storage, tiny: DataConfig, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(store_module, "VERIFIED_BYTES", 0)
    path = prepare(replace(tiny, storage=storage), tmp_path).path
    for name in {file.stem for file in path.glob("*.npy")}:
        _flip(path / f"{name}.npy")
        if name in ("train_images", "test_images"):  # verified when read
            Store(path, verify=True)
        else:
            with pytest.raises(ConfigError, match=f"{name}: checksum differs"):
                Store(path, verify=True)
        _flip(path / f"{name}.npy")


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
    store = Store.__new__(Store)
    store.train_labels = labels
    return store


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


@pytest.mark.parametrize(("limit", "val_size"), [(None, 12), (10, 3)])
def test_too_few_images_are_reported(limit: int | None, val_size: int):
    words = rf"^data.val_size={val_size} data.train_limit={limit or 'null'}: .* 12 training"
    with pytest.raises(ConfigError, match=words):
        _store(np.arange(12) % 3).split(limit, val_size)
