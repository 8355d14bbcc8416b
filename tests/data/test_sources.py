import os
from pathlib import Path

import pytest

from ablations.config import ConfigError, DataConfig, Source
from ablations.data.sources import find_files


def _parquet(train: list[str], test: list[str]) -> DataConfig:
    return DataConfig(source=Source.parquet, train=train, test=test)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("train-1", "train-0", "test"):
        (tmp_path / name).write_bytes(b"x" * 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_patterns_and_files_are_found_once_in_order(folder: Path):
    files = find_files(_parquet(["train-1", "train-*"], [str(folder / "test")]))
    assert [Path(file.path).name for file in files.train] == ["train-1", "train-0"]
    assert files.test[0][:2] == (str(folder / "test"), 3)


def test_a_pattern_without_a_file_is_named(folder: Path):
    with pytest.raises(ConfigError, match=r"data\.test: no file matches .*/nothing-\*"):
        find_files(_parquet(["train-0"], ["nothing-*"]))


def test_a_file_in_both_splits_is_refused(folder: Path):
    with pytest.raises(ConfigError, match=r"train-0 is in data\.train and"):
        find_files(_parquet(["train-*"], ["train-0"]))


def test_a_changed_file_is_seen(folder: Path):
    dataset = _parquet(["train-0"], ["test"])
    before = find_files(dataset)
    os.utime(folder / "test", (0, 0))
    assert find_files(dataset) != before


def test_the_built_in_data_need_no_files():
    assert find_files(DataConfig()) == ([], [])
