import json
import math
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.files import write_atomically
from ablations.record import RECORD, Record, Scores, load, load_all


def test_a_record_survives_its_file(record: Record, tmp_path: Path):
    record.save(tmp_path)
    assert load(tmp_path) == record


def test_a_folder_without_a_record_is_not_done(tmp_path: Path):
    assert load(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"run_id": "x"}', '{"seed": NaN}'],
    ids=["empty", "torn", "list", "incomplete", "nan"],
)
def test_a_broken_record_is_set_aside_with_a_warning(content: str, tmp_path: Path, caplog):
    (tmp_path / RECORD).write_text(content)
    assert load(tmp_path) is None
    assert "record.broken.json, its run will be repeated" in caplog.text
    caplog.clear()
    assert (tmp_path / "record.broken.json").read_text() == content
    assert load(tmp_path) is None
    assert not caplog.text  # told once


def test_a_record_of_another_type_is_broken(record: Record, tmp_path: Path, caplog):
    record.save(tmp_path)
    values = json.loads((tmp_path / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps(values | {"seed": "abc"}))
    assert load(tmp_path) is None
    assert "valid integer" in caplog.text


def test_a_number_that_is_none_is_refused_and_leaves_no_file(record: Record, tmp_path: Path):
    broken = replace(record, val=Scores(0.5, 0.1, math.nan, 10))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_all_records_are_read_and_other_files_left_alone(record: Record, tmp_path: Path):
    for run_id in ("b", "a"):
        (tmp_path / run_id).mkdir()
        replace(record, run_id=run_id).save(tmp_path / run_id)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "note.txt").write_text("")
    assert [found.run_id for found in load_all(tmp_path)] == ["a", "b"]


def test_records_that_were_kept_without_their_runs_are_read(record: Record, tmp_path: Path):
    (tmp_path / "records").mkdir()
    record.save(tmp_path)
    (tmp_path / RECORD).rename(tmp_path / "records" / f"{record.run_id}.json")
    (tmp_path / "records" / "0123456789ab.json").write_text("{")
    assert load_all(tmp_path) == [record]
    assert load_all(tmp_path) == [record]  # what was set aside is left alone
    assert (tmp_path / "records" / "0123456789ab.broken.json").exists()


def test_no_folder_holds_no_records(tmp_path: Path):
    assert load_all(tmp_path / "missing") == []


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=f"No space left on device.*{path}"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_is_written(tmp_path: Path):
    write_atomically(tmp_path / "file", b"bytes")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_the_headline_of_a_run_is_the_error_of_the_view(record: Record):
    scores = {"center": Scores(0.4, 0.2, 1.0, 5), "ten_view": Scores(0.3, 0.1, None, 5)}
    record = replace(record, test=scores)
    assert [record.headline(view, k) for view in scores for k in (1, 5)] == [0.4, 0.2, 0.3, 0.1]


@pytest.mark.parametrize(("classes", "top1", "top5"), [(10, 0.9, 0.5), (4, 0.75, 0.0)])
def test_a_diverged_run_counts_as_chance(record: Record, classes: int, top1: float, top5: float):
    record = replace(record, status="diverged", test={}, classes=classes)
    assert record.headline("ten_view", 1) == top1
    assert record.headline("ten_view", 5) == top5
