import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablations.config import ConfigError, DataConfig
from ablations.data import store as store_module
from ablations.data.store import Store, prepare

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


def _store(labels: np.ndarray) -> Store:
    store = Store(Path(), "", (), (), np.zeros(3), np.zeros((3, 3)))
    store.__dict__["train_labels"] = labels
    return store


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
    assert store.skipped == ()


def test_data_are_decoded_once(tiny: DataConfig, tmp_path: Path, monkeypatch):
    lines: list[str] = []
    first = prepare(tiny, tmp_path, lines.append)
    assert lines == ["decoded 60 training and 20 test images"]
    monkeypatch.setattr(store_module, "build", None)
    start = time.perf_counter()
    second = prepare(replace(tiny, train_limit=10, val_size=5, name="other"), tmp_path)
    assert time.perf_counter() - start < 0.1
    assert second.path == first.path
    assert second.fingerprint == first.fingerprint


def test_the_variable_chooses_the_folder(tiny: DataConfig, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_CACHE", str(tmp_path / "chosen"))
    assert prepare(tiny).path.parent == tmp_path / "chosen"


def test_another_size_or_another_file_is_another_store(shades_dataset: DataConfig, tmp_path: Path):
    first = prepare(shades_dataset, tmp_path)
    larger = prepare(replace(shades_dataset, size=16), tmp_path)
    os.utime(shades_dataset.train[0], (0, 0))
    touched = prepare(shades_dataset, tmp_path)
    assert len({first.path, larger.path, touched.path}) == 3
    assert first.fingerprint == touched.fingerprint != larger.fingerprint


def test_a_store_pickles_as_its_path(tiny: DataConfig, tmp_path: Path):
    store = prepare(tiny, tmp_path)
    assert store.train_images.size
    copied = pickle.dumps(store)
    assert len(copied) < 1000
    assert (pickle.loads(copied).mean_image == store.mean_image).all()


def test_opening_a_folder_without_a_store_says_so(tmp_path: Path):
    with pytest.raises(ConfigError, match="no data store in"):
        Store.open(tmp_path)


@pytest.mark.parametrize("name", ["train_images", "test_labels", "mean_image"])
@pytest.mark.parametrize("harm", ["cut", "flip", "delete", "lie"])
def test_a_damaged_store_is_built_again(
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
    assert store_module.damage(again.path) is None


def test_a_large_array_is_checked_whole_where_it_is_newer(tiny: DataConfig, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SMALL_BYTES", 0)
    path = prepare(tiny, tmp_path).path
    file = path / "train_images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert store_module.damage(path) == "train_images: checksum differs"


def test_a_broken_manifest_is_built_again(tiny: DataConfig, tmp_path: Path):
    store = prepare(tiny, tmp_path)
    (store.path / "manifest.json").write_text("{")
    assert prepare(tiny, tmp_path).fingerprint == store.fingerprint


def test_a_failed_build_leaves_nothing(shades_dataset: DataConfig, tmp_path: Path):
    file = Path(shades_dataset.test[0])
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ConfigError):
        prepare(shades_dataset, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*px-*/"))


def test_two_processes_build_once(tmp_path: Path):
    children = [_child(tmp_path, 0.01) for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0].splitlines() for child in children]
    assert all(child.returncode == 0 for child in children)
    assert outputs[0][-1] == outputs[1][-1]
    assert sum(line == "drawing" for lines in outputs for line in lines) == 80


def test_a_killed_build_is_not_believed(tiny: DataConfig, tmp_path: Path):
    child = _child(tmp_path, 60)
    assert child.stdout is not None
    assert child.stdout.readline() == "drawing\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert [path.name.endswith(".partial") for path in tmp_path.glob("*px-*/")] == [True]
    store = prepare(tiny, tmp_path)
    assert len(store.train_labels) == 60
    assert list(tmp_path.glob("*px-*/")) == [store.path]


def test_validation_is_cut_evenly_over_the_classes():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    train, val = _store(labels).split(None, 10)
    assert np.bincount(labels[val]).tolist() == [5, 3, 2]
    assert np.bincount(labels[train]).tolist() == [45, 27, 18]
    assert train.dtype == val.dtype == np.int64
    assert sorted([*train, *val]) == list(range(100))


def test_the_limit_is_spread_over_the_classes_and_leaves_validation_alone():
    labels = np.arange(1000) % 10
    store = _store(labels)
    small, val = store.split(95, 50)
    large, same = store.split(200, 50)
    assert (val == same).all()
    assert len(small) == 95
    assert set(np.bincount(labels[small])) == {9, 10}
    assert set(small) <= set(large)
    assert not set(large) & set(val)
    assert (np.diff(large) > 0).all()


def test_without_validation_all_images_are_trained_on():
    store = _store(np.arange(12) % 3)
    train, val = store.split(None, 0)
    assert (train.tolist(), val.tolist()) == (list(range(12)), [])
    assert set(store.split(6, 0)[0]) <= set(train)


def test_the_split_is_the_same_for_ever():
    train, val = _store(np.arange(12) % 3).split(3, 3)
    assert (train.tolist(), val.tolist()) == ([3, 10, 11], [0, 1, 8])


@pytest.mark.parametrize(("limit", "val_size"), [(None, 12), (10, 3), (13, 1), (1, 12)])
def test_too_few_images_are_told(limit: int | None, val_size: int):
    with pytest.raises(ConfigError, match=rf"12 training images .*val_size={val_size}"):
        _store(np.arange(12) % 3).split(limit, val_size)
