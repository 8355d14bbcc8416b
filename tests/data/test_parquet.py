from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ablations.config import ConfigError, DataConfig, Source
from ablations.data.store import prepare


def _dataset(train: list[str], test: list[str]) -> DataConfig:
    return DataConfig(source=Source.parquet, train=train, test=test, size=8, crop=8)


def test_several_files_are_one_split_in_the_order_of_their_names(shades, write_parquet, tmp_path):
    names = ["even", "odd"]
    write_parquet("b-1.parquet", shades[3:5], [1, 0], names, column="img")
    write_parquet("b-0.parquet", shades[:3], [0, 1, 0], names, column="img")
    test = write_parquet("test.parquet", shades[5:], [1, 0, 1], names, column="picture")
    store = prepare(_dataset([str(tmp_path / "b-*.parquet")], [test]), tmp_path / "cache")
    assert store.classes == ("even", "odd")
    assert store.train_images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40]
    assert store.train_labels.tolist() == [0, 1, 0, 1, 0]
    assert store.test_images[:, 0, 0, 0].tolist() == [50, 60, 70]


def test_classes_without_names_are_numbered(shades, write_parquet, tmp_path: Path):
    train = write_parquet("train.parquet", shades[:3], [0, 2, 0], label="y")
    test = write_parquet("test.parquet", shades[3:4], [1], label="y")
    assert prepare(_dataset([train], [test]), tmp_path / "cache").classes == ("0", "1", "2")


def test_a_label_column_is_found_by_its_type(shades, tmp_path: Path, write_parquet):
    table = pa.table({"id": [7, 8], "fine_label": [0, 1], "data": pa.array(shades[:2])})
    features = '{"info": {"features": {"id": {"dtype": "int64", "_type": "Value"}, "fine_label": '
    features += '{"_type": "ClassLabel", "names": ["a", "b"]}}}}'
    table = table.replace_schema_metadata({"huggingface": features})
    pq.write_table(table, tmp_path / "train.parquet")
    test = write_parquet("test.parquet", shades[2:3], [1], ["a", "b"])
    store = prepare(_dataset([str(tmp_path / "train.parquet")], [test]), tmp_path / "cache")
    assert store.classes == ("a", "b")
    assert store.train_labels.tolist() == [0, 1]


@pytest.mark.parametrize("label", [-1, 2, None])
def test_labels_out_of_range_are_named(shades, write_parquet, tmp_path: Path, label):
    train = write_parquet("train.parquet", shades[:2], [0, 1], ["a", "b"])
    test = write_parquet("test.parquet", shades[2:4], [1, label], ["a", "b"])
    with pytest.raises(ConfigError, match=r"test\.parquet row 1: label -?\d is none of 2 classes"):
        prepare(_dataset([train], [test]), tmp_path / "cache")


def test_splits_with_different_classes_are_refused(shades, write_parquet, tmp_path: Path):
    train = write_parquet("train.parquet", shades[:2], [0, 1], ["a", "b"])
    test = write_parquet("test.parquet", shades[2:4], [0, 1], ["b", "a"])
    with pytest.raises(ConfigError, match="name different classes"):
        prepare(_dataset([train], [test]), tmp_path / "cache")


def test_a_file_that_is_not_parquet_or_cut_short_is_named(
    shades_dataset: DataConfig, tmp_path: Path
):
    path = Path(shades_dataset.test[0])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"test\.parquet: not a readable parquet file"):
        prepare(shades_dataset, tmp_path / "cache")


def test_missing_columns_are_named(shades_dataset: DataConfig, tmp_path: Path):
    pq.write_table(pa.table({"label": [1], "text": ["a"]}), shades_dataset.test[0])
    with pytest.raises(ConfigError, match=r"no images \(bytes\) among the columns label, text"):
        prepare(shades_dataset, tmp_path / "cache")


def test_broken_images_stop_or_are_left_out(shades, write_parquet, tmp_path: Path):
    broken = [shades[0], shades[1][:-30], None, shades[3]]
    train = write_parquet("train.parquet", broken, [0, 1, 1, 0])
    test = write_parquet("test.parquet", shades[4:6], [0, 1])
    dataset = _dataset([train], [test])
    with pytest.raises(ConfigError, match=r"train\.parquet row 1: .*data\.skip_broken=true"):
        prepare(dataset, tmp_path / "cache")
    store = prepare(replace(dataset, skip_broken=True), tmp_path / "cache")
    assert store.skipped == (f"{train} row 1", f"{train} row 2")
    assert store.train_labels.tolist() == [0, 0]
    assert store.train_images[:, 0, 0, 0].tolist() == [0, 30]
    assert (store.mean_image == 15).all()


def test_a_split_of_broken_images_only_is_refused(shades_dataset, write_parquet, tmp_path: Path):
    write_parquet("test.parquet", [b"x", b"y"], [0, 1])
    with pytest.raises(ConfigError, match=r"no test images \(2 broken\)"):
        prepare(replace(shades_dataset, skip_broken=True), tmp_path / "cache")


def test_grayscale_and_other_sizes_are_stored_as_rgb(encode, write_parquet, tmp_path: Path):
    wide = encode(np.full((16, 40, 3), 90, np.uint8), "JPEG", "L")
    train = write_parquet("train.parquet", [wide], [0])
    test = write_parquet("test.parquet", [wide], [0])
    store = prepare(_dataset([train], [test]), tmp_path / "cache")
    assert store.train_images.shape == (1, 8, 8, 3)
    assert (store.train_images == 90).all()
