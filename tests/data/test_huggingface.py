"""Parquet files, image folders and hub data sets, read by `datasets`."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
from hub_server import serve
from PIL import Image

import ablations
from ablations.config import ConfigError, DataConfig, Source
from ablations.data import synthetic
from ablations.data.images import StoredImages
from ablations.data.store import Store, prepare

COMMANDS = Path(ablations.__file__).parent
NAME = "zalando-datasets/fashion_mnist"

FASHION = ["T - shirt / top", "Trouser", "Pullover", "Dress", "Coat"]
FASHION += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def _data(**keys) -> DataConfig:
    return DataConfig(source=Source.huggingface, **{"size": 8, "crop": 8, **keys})


def _files(train: str, *test: str, **keys) -> DataConfig:
    return _data(train=(train,), test=tuple(test), **keys)


def _values(images: StoredImages) -> list[int]:
    return images[:][:, 0, 0, 0].tolist()


def _put(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imitation of Fashion-MNIST, gray images of 28 pixels: parquet files in ``hub/``, and PNG.

    The parquet files are written by `datasets`; the test server of the hub serves ``hub/``.
    """
    root = tmp_path_factory.mktemp("fashion")
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=FASHION)}
    parquet = root / "hub" / NAME / "fashion_mnist"
    parquet.mkdir(parents=True)
    datasets.disable_progress_bars()
    for split, count in (("train", 200), ("test", 40)):
        labels = np.arange(count) % 10
        drawn = synthetic.draw(labels, 28, np.random.default_rng(count))
        images = [Image.fromarray(pixels).convert("L") for pixels in drawn]
        for n, (image, label) in enumerate(zip(images, labels, strict=True)):
            # Folder names must sort like the classes, so they are numbers.
            path = root / f"fashion-mnist-png/{split}/{label}/{n:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
        rows = {"image": images, "label": labels.tolist()}
        rows = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
        rows.to_parquet(parquet / f"{split}-00000-of-00001.parquet")
    return root


def _run(command: str, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(COMMANDS / f"{command}.py"), "data.source=huggingface", *overrides],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def _made(done: subprocess.CompletedProcess[str]) -> Store:
    assert done.returncode == 0, done.stdout + done.stderr
    return Store(Path(done.stdout.splitlines()[-1]))


# One data set in three forms


def test_parquet_and_folders_of_one_data_set_have_its_pixels_and_its_name(fashion: Path, tmp_path):
    folder = fashion / "hub" / NAME / "fashion_mnist"
    train, test = (str(folder / f"{name}-*.parquet") for name in ("train", "test"))
    parquet = prepare(_files(train, test, size=28, crop=28), tmp_path / "cache")
    whole = prepare(_data(path=str(folder), size=28, crop=28), tmp_path / "cache")
    png = prepare(_data(path=str(fashion / "fashion-mnist-png"), size=28), tmp_path / "cache")
    names = ["fashion_mnist", "fashion_mnist", "fashion-mnist-png"]
    assert [store.name for store in (parquet, whole, png)] == names
    assert parquet.classes == whole.classes == tuple(FASHION)
    assert parquet.fingerprint == whole.fingerprint
    assert parquet.train_images.shape == (200, 28, 28, 3)
    assert (parquet.train_images[:][..., 0] == parquet.train_images[:][..., 2]).all()
    # Folders are read class by class, files row by row.
    order = np.argsort(parquet.train_labels, kind="stable")
    assert (png.train_images[:] == parquet.train_images[order]).all()
    assert (png.mean_image == parquet.mean_image).all()


@pytest.mark.slow
def test_the_latest_commit_of_the_hub_is_read_or_the_one_prepared_last(fashion: Path, tmp_path):
    hub = shutil.copytree(fashion / "hub", tmp_path / "hub")
    keys = (f"data.path={NAME}", f"cache={tmp_path / 'cache'}")
    with serve(hub) as environment:
        first = _made(_run("prepare", *keys, **environment))
        again = _run("prepare", *keys, **environment)
        files = hub / NAME / "fashion_mnist"
        shutil.copy(files / "test-00000-of-00001.parquet", files / "train-00000-of-00001.parquet")
        changed = _made(_run("prepare", *keys, **environment))
        unknown = _run("prepare", "data.path=nobody/nothing", **environment)
    assert (first.name, first.classes) == (NAME, tuple(FASHION))
    assert (len(first.train_labels), len(first.test_labels)) == (200, 40)
    assert _made(again).path == first.path
    assert NAME in again.stdout
    assert "prepared last" not in again.stdout
    assert (len(changed.train_labels), len(changed.test_labels)) == (40, 40)
    line = r"error: data.path=nobody/nothing: .*next step: check the name.*\n"
    assert re.fullmatch(line, unknown.stderr)
    # A prepared data set needs no network.
    offline = {**environment, "HF_ENDPOINT": "http://127.0.0.1:9"}
    alone = _run("prepare", *keys, **offline)
    assert _made(alone).path == changed.path
    assert len(re.findall(rf"data\.path={NAME}: .*prepared last", alone.stdout)) == 1
    # A local folder of this name takes precedence, and needs no network either.
    for place, value in (("train/a", 10), ("train/b", 10), ("train/b", 20), ("test/b", 20)):
        _put(tmp_path / NAME / place / f"{value}.png", value)
    local = _made(_run("prepare", *keys, **offline))
    assert (local.name, local.classes) == ("fashion_mnist", ("a", "b"))


# Files


def test_several_files_are_one_split_in_the_order_of_their_names(shades, write_parquet, tmp_path):
    names = ["even", "odd"]
    write_parquet("b-1.parquet", shades[3:5], [1, 0], names, column="img")
    write_parquet("b-0.parquet", shades[:3], [0, 1, 0], names, column="img")
    test = write_parquet("test.parquet", shades[5:], [1, 0, 1], names, column="picture")
    store = prepare(_files(str(tmp_path / "b-*.parquet"), test), tmp_path / "cache")
    assert store.classes == ("even", "odd")
    assert _values(store.train_images) == [0, 10, 20, 30, 40]
    assert store.train_labels.tolist() == [0, 1, 0, 1, 0]
    assert _values(store.test_images) == [50, 60, 70]
    with pytest.raises(ConfigError, match=r"b-0\.parquet: .*data\.train and data\.test"):
        prepare(_files("b-*", "b-0.parquet"), tmp_path / "cache")


def test_a_path_is_no_pattern(shades, write_parquet, tmp_path: Path):
    (tmp_path / "[a]").mkdir()
    files = [write_parquet(f"[a]/{n}.parquet", shades, [0, 1] * 4) for n in "01"]
    store = prepare(_files(*files), tmp_path / "cache")
    assert len(store.train_images) == len(store.test_images) == len(shades)
    with pytest.raises(ConfigError, match=r"^data.path=.*rename the folder"):
        prepare(_data(path="[a]"), tmp_path / "cache")


def test_a_file_that_is_not_parquet_or_cut_short_is_named(shades_dataset: DataConfig, tmp_path):
    path = Path(shades_dataset.test[0])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"test\.parquet: cannot be read .*next step"):
        prepare(shades_dataset, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*px-*/"))


def test_broken_images_stop_or_are_left_out(shades, write_parquet, tmp_path: Path):
    broken = [shades[0], shades[1][:-30], None, shades[3]]
    train = write_parquet("train.parquet", broken, [0, 1, 1, 0])
    test = write_parquet("test.parquet", shades[4:6], [0, 1])
    data = _files(train, test)
    with pytest.raises(ConfigError, match=r"train\.parquet row 1: .*data\.skip_broken=true"):
        prepare(data, tmp_path / "cache")
    store = prepare(replace(data, skip_broken=True), tmp_path / "cache")
    assert list(store.skipped) == [f"{train} row 1", f"{train} row 2"]
    assert store.train_labels.tolist() == [0, 0]
    assert _values(store.train_images) == [0, 30]
    assert (store.mean_image == 15).all()
    write_parquet("test.parquet", [b"x", b"y"], [0, 1])
    with pytest.raises(ConfigError, match=r"no test images \(2 broken\)"):
        prepare(replace(data, skip_broken=True), tmp_path / "cache")


# Columns, labels and splits


def test_columns_are_found_by_their_types_or_named(shades, tmp_path: Path):
    columns = {"id": [7, 8], "fine": [0, 1], "data": shades[:2], "animal": ["dog", "cat"]}
    table = datasets.Dataset.from_dict(columns)
    table.to_parquet(tmp_path / "bare.parquet")
    classes = datasets.ClassLabel(names=["a", "b"])
    table.cast_column("fine", classes).to_parquet(tmp_path / "train.parquet")
    shutil.copy(tmp_path / "train.parquet", tmp_path / "again.parquet")
    found = prepare(_files("train.parquet", "again.parquet"), tmp_path / "cache")
    assert (found.classes, found.train_labels.tolist()) == (("a", "b"), [0, 1])
    bare = _files("bare.parquet", "train.parquet")
    with pytest.raises(ConfigError, match=r"label \(id, fine\).*data.label=COLUMN"):
        prepare(bare, tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"data.label=kind: no such column; .* id, fine"):
        prepare(replace(bare, label="kind"), tmp_path / "cache")
    named = prepare(replace(bare, label="animal", image="data"), tmp_path / "cache")
    assert (named.classes, named.train_labels.tolist()) == (("cat", "dog"), [1, 0])


def test_classes_without_names_are_numbered(shades, write_parquet, tmp_path: Path):
    train = write_parquet("train.parquet", shades[:3], [0, 2, 1], label="y")
    test = write_parquet("test.parquet", shades[3:4], [1], label="y")
    assert prepare(_files(train, test), tmp_path / "cache").classes == ("0", "1", "2")
    write_parquet("test.parquet", shades[3:4], [10**12], label="y")  # needs no memory either
    with pytest.raises(ConfigError, match=r"row 0: label 1000000000000 is not"):
        prepare(_files(train, test), tmp_path / "cache")


@pytest.mark.parametrize("label", [-1, 2, None])
def test_labels_and_classes_that_do_not_fit_are_named(shades, write_parquet, tmp_path: Path, label):
    train = write_parquet("train.parquet", shades[:2], [0, 1], ["a", "b"])
    test = write_parquet("test.parquet", shades[2:4], [1, label], ["a", "b"])
    with pytest.raises(ConfigError, match=rf"test\.parquet row 1: label {label} .* 2 classes"):
        prepare(_files(train, test), tmp_path / "cache")
    write_parquet("test.parquet", shades[2:4], [0, 1], ["b", "a"])
    with pytest.raises(ConfigError, match=r"train\.parquet and .*test\.parquet .*; next step"):
        prepare(_files(train, test), tmp_path / "cache")


def test_splits_are_found_or_named(shades, write_parquet, tmp_path: Path):
    (tmp_path / "set/data").mkdir(parents=True)
    for n, (split, label) in enumerate((("train", 1), ("validation", 0), ("test", -1))):
        name = f"set/data/{split}-00000-of-00001.parquet"
        write_parquet(name, shades[2 * n : 2 * n + 2], [0 if label >= 0 else -1, label], ["a", "b"])
    # The test images have no labels, like those of a challenge.
    store = prepare(_data(path="set"), tmp_path / "cache")
    assert (_values(store.train_images), _values(store.test_images)) == ([0, 10], [20, 30])
    assert store.name == "set"
    named = _data(path="set", train=("train", "validation"), test=("train",))
    assert _values(prepare(named, tmp_path / "cache").train_images) == [0, 10, 20, 30]
    with pytest.raises(ConfigError, match=r"data.test=\[dev\]: .* values: train, validation, test"):
        prepare(replace(named, test=("dev",)), tmp_path / "cache")


def test_a_test_split_is_cut_evenly_from_an_only_split(shades, write_parquet, tmp_path: Path):
    file = write_parquet("animals.parquet", shades * 3, [0, 1] * 12, ["a", "b"])
    lines: list[str] = []
    store = prepare(_data(path=file), tmp_path / "cache", lines.append)
    assert (len(store.train_labels), sorted(store.test_labels.tolist())) == (20, [0, 0, 1, 1])
    assert any("4 of its 24 images" in line for line in lines)
    assert store.name == "animals"
    for images, labels in (
        (store.train_images, store.train_labels),
        (store.test_images, store.test_labels),
    ):
        assert [value // 10 % 2 for value in _values(images)] == labels.tolist()


def test_a_subset_is_named_if_there_are_several(shades, write_parquet, tmp_path: Path):
    (tmp_path / "set").mkdir()
    card = "".join(
        f"- config_name: {name}\n  data_files: {name}.parquet\n" for name in ("dark", "light")
    )
    (tmp_path / "set/README.md").write_text(f"---\nconfigs:\n{card}---\n")
    write_parquet("set/dark.parquet", shades[:6], [0, 1] * 3)
    write_parquet("set/light.parquet", shades[2:], [0, 1] * 3)
    store = prepare(_data(path="set", subset="light"), tmp_path / "cache")
    assert min(*_values(store.train_images), *_values(store.test_images)) == 20
    with pytest.raises(ConfigError, match=r"dark.*light.*data\.subset=NAME"):
        prepare(_data(path="set"), tmp_path / "cache")


# Folders


@pytest.fixture
def folders(tmp_path: Path) -> DataConfig:
    _put(tmp_path / "images/train/dog/1.png", 30)
    _put(tmp_path / "images/train/cat/2.BMP", 20)
    _put(tmp_path / "images/train/cat/1.png", 10)
    _put(tmp_path / "images/train/cat/.hidden.png", 99)
    _put(tmp_path / "images/val/dog/9.png", 40)
    (tmp_path / "images/train/cat/readme.txt").write_text("no image")
    return _data(path="images")


def test_class_folders_are_read_in_sorted_order(folders: DataConfig, tmp_path: Path):
    store = prepare(folders, tmp_path / "cache")
    assert store.classes == ("cat", "dog")
    assert store.train_labels.tolist() == [0, 0, 1]
    assert _values(store.train_images) == [10, 20, 30]
    assert store.test_labels.tolist() == [1]
    _put(tmp_path / "images/val/dog/9.png", 200)  # an image overwritten in place
    assert prepare(folders, tmp_path / "cache").fingerprint != store.fingerprint


def test_folders_with_other_classes_or_without_classes_are_refused(folders, tmp_path: Path):
    (tmp_path / "images/val/dog").rename(tmp_path / "images/val/wolf")
    with pytest.raises(ConfigError, match=r"no training images .*\(wolf\)"):
        prepare(folders, tmp_path / "cache")
    _put(tmp_path / "flat/1.png", 30)
    with pytest.raises(ConfigError, match=r"no label column .*train/CLASS/ and test/CLASS/"):
        prepare(_data(path="flat"), tmp_path / "cache")
