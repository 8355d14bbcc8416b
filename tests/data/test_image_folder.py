from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablations.config import ConfigError, DataConfig, Source
from ablations.data.store import prepare


def _put(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def dataset(tmp_path: Path) -> DataConfig:
    _put(tmp_path / "images/train/dog/1.png", 30)
    _put(tmp_path / "images/train/cat/images/2.BMP", 20)
    _put(tmp_path / "images/train/cat/1.png", 10)
    _put(tmp_path / "images/train/cat/.hidden.png", 99)
    _put(tmp_path / "images/val/dog/9.png", 40)
    (tmp_path / "images/train/cat/readme.txt").write_text("no image")
    root = str(tmp_path / "images")
    return DataConfig(source=Source.image_folder, root=root, size=8, crop=8)


def test_class_folders_are_read_in_sorted_order(dataset: DataConfig, tmp_path: Path):
    store = prepare(dataset, tmp_path / "cache")
    assert store.classes == ("cat", "dog")
    assert store.train_labels.tolist() == [0, 0, 1]
    assert store.train_images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert store.test_labels.tolist() == [1]


def test_a_test_folder_is_taken_where_there_is_no_val(dataset: DataConfig, tmp_path: Path):
    (tmp_path / "images/val").rename(tmp_path / "images/test")
    assert prepare(dataset, tmp_path / "cache").test_labels.tolist() == [1]


def test_an_image_overwritten_in_place_is_seen(dataset: DataConfig, tmp_path: Path):
    before = prepare(dataset, tmp_path / "cache")
    _put(tmp_path / "images/val/dog/9.png", 200)
    after = prepare(dataset, tmp_path / "cache")
    assert after.fingerprint != before.fingerprint


def test_missing_and_unknown_folders_are_named(dataset: DataConfig, tmp_path: Path):
    (tmp_path / "images/val/dog").rename(tmp_path / "images/val/wolf")
    with pytest.raises(ConfigError, match="no training class: wolf"):
        prepare(dataset, tmp_path / "cache")
    (tmp_path / "images/val/wolf/9.png").unlink()
    with pytest.raises(ConfigError, match="no images in class folders"):
        prepare(dataset, tmp_path / "cache")
    (tmp_path / "images/train").rename(tmp_path / "images/training")
    with pytest.raises(ConfigError, match="no folder train/"):
        prepare(dataset, tmp_path / "cache")


def test_a_broken_image_is_named_by_its_path(dataset: DataConfig, tmp_path: Path):
    (tmp_path / "images/train/cat/1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines: list[str] = []
    with pytest.raises(ConfigError, match=r"train/cat/1\.png: cannot be decoded"):
        prepare(dataset, tmp_path / "cache", lines.append)
    assert lines == []  # no "left out" before the error


def test_tiny_imagenet_is_read_as_its_zip_file_unpacks(tmp_path: Path):
    root = tmp_path / "tiny-imagenet-200"
    for n, label in enumerate(("n01443537", "n01629819")):
        _put(root / f"train/{label}/images/{label}_0.png", 10 * n)
        (root / f"train/{label}/{label}_boxes.txt").write_text("n01443537_0.JPEG\t0\t10\t63\t58\n")
        _put(root / f"val/images/val_{n}.png", 100 + n)
        _put(root / f"test/images/test_{n}.png", 200)
    rows = "val_0.png\tn01629819\t0\t32\t44\t62\nval_1.png\tn01443537\t5\t6\t7\t8\n"
    (root / "val/val_annotations.txt").write_text(rows)
    (root / "words.txt").write_text("n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\n")
    dataset = DataConfig(source=Source.image_folder, root=str(root), size=8, crop=8)
    store = prepare(dataset, tmp_path / "cache")
    assert store.classes == ("goldfish, Carassius auratus", "n01629819")
    assert store.train_labels.tolist() == [0, 1]
    assert store.test_labels.tolist() == [1, 0]
    assert store.test_images[:, 0, 0, 0].tolist() == [100, 101]
