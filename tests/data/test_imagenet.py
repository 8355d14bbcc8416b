"""ILSVRC-2012 as archives, folders and parquet files."""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import imagenet as torchvision_imagenet

from ablations.config import ConfigError, DataConfig, Source, Storage
from ablations.data import imagenet
from ablations.data.decode import decode
from ablations.data.images import encode
from ablations.data.store import Store, prepare

SIZE = 64  # of `plain_folders`
WNIDS = ("n01440764", "n01443537", "n02084071")
WORDS = ("tench, Tinca tinca", "goldfish", "dog")
TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"

Tree = dict[str, bytes]  # path below the root: content
MakeTree = Callable[..., DataConfig]


def _tar(files: Tree, mode: str = "w:") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as tar:
        # In reverse, because tar files need not be sorted.
        for name, content in reversed(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def _devkit() -> bytes:
    """Return the development kit, with classes in another order and one that is not a leaf."""
    kind = [(name, "O") for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")]
    numbered = [(1, WNIDS[2], WORDS[2]), (2, WNIDS[0], WORDS[0]), (3, WNIDS[1], WORDS[1])]
    rows = [*((*row, "", 0) for row in numbered), (1001, "n00000000", "thing", "", 3)]
    file = io.BytesIO()
    savemat(file, {"synsets": np.array(rows, kind)[:, None]})
    folder = "ILSVRC2012_devkit_t12/data"
    truth = {f"{folder}/ILSVRC2012_validation_ground_truth.txt": b"1\n2\n3\n"}
    return _tar({f"{folder}/meta.mat": file.getvalue(), **truth}, "w:gz")


def _flat(files: Tree, split: str) -> Tree:
    return {Path(name).name: content for name, content in files.items() if name.startswith(split)}


def _class_tars(files: Tree) -> Tree:
    by_class = {wnid: {n: c for n, c in files.items() if f"train/{wnid}" in n} for wnid in WNIDS}
    return {f"{wnid}.tar": _tar(_flat(part, "train")) for wnid, part in by_class.items()}


def _as_tars(files: Tree) -> Tree:
    return {TRAIN: _tar(_class_tars(files)), VAL: _tar(_flat(files, "val")), DEVKIT: _devkit()}


def _as_kaggle(files: Tree) -> Tree:
    inner = "ILSVRC/Data/CLS-LOC"
    rows = [f"ILSVRC2012_val_{n:08d},{WNIDS[i]} 1 2 3 4" for n, i in ((3, 1), (1, 2), (2, 0))]
    mapping = "".join(f"{a} {b}\n" for a, b in zip(WNIDS, WORDS, strict=True))
    return {
        **{f"{inner}/{name}": c for name, c in files.items() if name.startswith("train")},
        **{f"{inner}/val/{name}": c for name, c in _flat(files, "val").items()},
        "LOC_val_solution.csv": "\n".join(["ImageId,PredictionString", *rows]).encode(),
        "LOC_synset_mapping.txt": mapping.encode(),
    }


@pytest.fixture
def make_tree(
    photographs: Tree, plain_folders: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeTree:
    """Write the photographs in a form, and their checksums for torchvision."""

    def make_tree(form: Callable[[Tree], Tree] = dict) -> DataConfig:
        for path, content in form(photographs).items():
            (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / path).write_bytes(content)
        sums = {
            kind: (name, hashlib.md5((tmp_path / "tree" / name).read_bytes()).hexdigest())
            for kind, name in (("train", TRAIN), ("val", VAL), ("devkit", DEVKIT))
            if (tmp_path / "tree" / name).exists()
        }
        monkeypatch.setattr(torchvision_imagenet, "ARCHIVE_META", sums)
        return replace(plain_folders, path=str(tmp_path / "tree"))

    return make_tree


def test_every_image_is_stored_scaled_or_listed(reference: Store, photographs: Tree):
    assert reference.train_labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert reference.test_labels.tolist() == [0, 1, 2]
    skipped = {Path(where).name: reason for where, reason in reference.skipped.items()}
    assert list(skipped) == [f"{WNIDS[2]}_3.JPEG", f"{WNIDS[2]}_4.JPEG"]
    assert "truncated" in next(iter(skipped.values()))
    assert reference.classes == WNIDS  # no file has their words
    assert reference.name.startswith("imagenet")  # the folder, because ImageNet has 1,000 classes
    usable = [
        content
        for name, content in sorted(photographs.items())
        if "train" in name and Path(name).name not in skipped
    ]
    for stored, content in zip(reference.train_images[:], usable, strict=True):
        exact = decode(content, SIZE)
        # JPEG at quality 92 only blurs the colors of neighboring pixels.
        assert np.abs(stored.astype(int) - exact).mean() < 5
        assert (stored == decode(encode(exact), SIZE)).all()


@pytest.mark.parametrize("form", [_as_tars, _as_kaggle])
def test_archives_and_folders_give_one_fingerprint(
    form, make_tree: MakeTree, reference: Store, tmp_path, monkeypatch
):
    data = make_tree(form)
    store = prepare(data, tmp_path / "cache")
    assert store.fingerprint == reference.fingerprint
    assert store.classes == WORDS
    assert len(store.skipped) == 2
    assert prepare(data, tmp_path / "cache").path == store.path
    monkeypatch.setattr(imagenet, "CLASSES", 3)
    assert prepare(data, tmp_path / "other").name == "ImageNet (ILSVRC-2012)"


def test_archives_are_unpacked_once_and_whole(make_tree: MakeTree, tmp_path: Path, monkeypatch):
    data = make_tree(_as_tars)
    root = Path(str(data.path))
    parse = torchvision_imagenet.parse_train_archive

    def stopped(root: Path, folder: str) -> None:
        parse(root, folder=folder)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "parse_train_archive", stopped)
        with pytest.raises(ConfigError, match=r"^data.path=.*No space left.*150 GB"):
            prepare(data, tmp_path / "cache")
    assert not (root / "train").exists()
    (root / "train.partial/n09999999").mkdir()  # what is left there is no part of ImageNet
    lines: list[str] = []
    store = prepare(data, tmp_path / "cache", lines.append)
    assert {f"unpacking {TRAIN}, once", f"unpacking {VAL}, once"} <= set(lines)
    assert len(store.classes) == 3
    lines.clear()
    prepare(replace(data, size=32, crop=32), tmp_path / "cache", lines.append)
    assert not any("unpacking" in line for line in lines)


def test_the_hubs_parquet_is_read_in_place(photographs: Tree, write_parquet, tmp_path: Path):
    (tmp_path / "data").mkdir()
    for name, split in (("train-00000-of-00001", "train"), ("validation-00000-of-00001", "val")):
        chosen = {n: c for n, c in photographs.items() if n.startswith(split)}
        labels = [WNIDS.index(name.split("/")[1]) for name in chosen]
        write_parquet(f"data/{name}.parquet", list(chosen.values()), labels, WORDS)
    data = DataConfig(
        source=Source.imagenet, path=str(tmp_path), storage=Storage.jpeg, size=SIZE, crop=SIZE
    )
    store = prepare(replace(data, skip_broken=True), tmp_path / "cache")
    assert store.classes == WORDS
    assert len(store.train_labels) == 11
    assert len(store.test_labels) == 3
    assert len(store.skipped) == 2


def test_a_broken_image_stops_with_its_path_and_nothing_is_lost(make_tree: MakeTree, tmp_path):
    data = make_tree()
    with pytest.raises(ConfigError, match=r"_3\.JPEG: cannot be decoded .* 2 broken images"):
        prepare(replace(data, skip_broken=False), tmp_path / "cache")
    lines: list[str] = []
    before = prepare(data, tmp_path / "cache", lines.append)
    assert lines == [f"skipped 2 broken images, see {before.path}/manifest.json"]
    # An added image is noticed.
    folder = Path(str(data.path), "train", WNIDS[0])
    shutil.copy(folder / f"{WNIDS[0]}_1.JPEG", folder / "new.JPEG")
    os.utime(folder, (0, 0))  # even where clocks are coarse
    after = prepare(data, tmp_path / "cache")
    assert len(after.train_labels) == len(before.train_labels) + 1


def test_what_is_missing_or_damaged_is_named(make_tree: MakeTree, tmp_path: Path):
    data = make_tree(_as_tars)
    root = Path(str(data.path))
    (root / TRAIN).write_bytes((root / TRAIN).read_bytes()[:-60_000])
    with pytest.raises(ConfigError, match=rf"^data.path=.*{TRAIN}.*download"):
        prepare(data, tmp_path / "cache")
    (root / DEVKIT).unlink()
    with pytest.raises(ConfigError, match="no validation images with labels"):
        prepare(data, tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"data\.path=.*: no training images of ImageNet"):
        prepare(replace(data, path="nowhere"), tmp_path / "cache")
