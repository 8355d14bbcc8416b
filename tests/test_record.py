import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablations.config import NUMERICS, ConfigError, Job, run_id_of
from ablations.record import RECORD, SCHEMA, Record, Scores, find, load, load_all


def folder_of(record: Record, output: Path) -> Path:
    """The folder of the record's run, with the record in it."""
    folder = output / record.run_id
    folder.mkdir()
    record.save(folder)
    return folder


def like(record: Record, **differences: Any) -> Record:
    """The record of another run."""
    values = {**record.differences, **differences}
    seed = values.get("seed", 0)
    return replace(record, run_id=run_id_of(values), differences=values, seed=seed)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder: Path) -> str:
    """Why the record in ``folder`` is not read; nothing in the folder may change."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConfigError) as error:
        load(folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{folder / RECORD}: ")
    return str(error.value)


# There and back


def test_a_record_survives_its_file(record: Record, tmp_path: Path):
    assert load(folder_of(record, tmp_path)) == record
    assert record.schema == SCHEMA == 2


def test_the_run_of_a_record_is_the_run_that_was_trained(record: Record, finished: Path):
    run = Job.load(finished).run
    assert record.run.run_id == run.run_id == record.run_id
    assert record.run.techniques == run.techniques
    assert replace(record.run.recipe, bias_lr_mult=None) == run.recipe
    assert replace(record.run, recipe=run.recipe, data=run.data) == run


def test_a_number_that_is_none_is_refused_and_leaves_no_file(record: Record, tmp_path: Path):
    broken = replace(record, val=Scores(0.5, 0.1, math.nan, 10))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


# What is not read


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": 1}, "schema 1, but this version reads schema 2"),
        ({"status": "bogus"}, "status: "),
        ({"val": {"top1": 7, "top5": 0, "loss": 1.0, "count": 11}}, "val.top1: "),
        ({"seconds": 1e300}, "seconds: "),
        ({"epochs": -1}, "epochs: "),
        ({"run_id": "0123456789ab"}, "run_id=0123456789ab, but its values hash to "),
        ({"numerics": NUMERICS - 1}, "but its values hash to "),
        ({"differences": {"recipe.lr": 0.5}}, "but its values hash to "),
        ({"parameters": 7}, "checksum does not match its values"),
    ],
    ids=str,
)
def test_a_record_whose_values_are_wrong_is_refused(
    changes: dict[str, Any], problem: str, record: Record, tmp_path: Path
):
    folder = folder_of(record, tmp_path)
    change(folder / RECORD, **changes)
    said = refused(folder)
    assert problem in said
    assert "; next step: move it away" in said


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"schema": 2}', b'{"schema": NaN}', b"[" * 100_000, b"\xff\xfe\0"],
    ids=["torn", "list", "incomplete", "nan", "deep", "no text"],
)
def test_a_damaged_record_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / RECORD).write_bytes(content)
    refused(tmp_path)


def test_a_record_of_another_run_is_refused(record: Record, tmp_path: Path):
    other = folder_of(record, tmp_path).rename(tmp_path / "0123456789ab")
    assert f"belongs to run {record.run_id}; next step: move it away" in refused(other)


def test_a_record_from_before_there_were_checksums_is_read(record: Record, tmp_path: Path):
    path = folder_of(record, tmp_path) / RECORD
    values = json.loads(path.read_text())
    del values["checksum"]
    path.write_text(json.dumps(values))
    assert load(path.parent) == record


def test_a_record_of_earlier_numerics_is_read_under_its_own_id(record: Record, tmp_path: Path):
    run_id = run_id_of(record.differences, record.numerics - 1)
    earlier = replace(record, run_id=run_id, numerics=record.numerics - 1)
    assert load(folder_of(earlier, tmp_path)) == earlier


def test_a_record_with_a_technique_of_a_later_version_is_refused(record: Record, tmp_path: Path):
    said = refused(folder_of(like(record, norm="l2"), tmp_path))
    assert "norm" in said
    assert "read it with the version that wrote it" in said


# Many records


def test_records_that_cannot_be_read_are_skipped_with_a_warning(
    record: Record, tmp_path: Path, caplog
):
    folder_of(record, tmp_path)
    (tmp_path / "records").mkdir()
    torn = folder_of(like(record, seed=1), tmp_path) / RECORD
    torn.write_text("{")
    (tmp_path / "folder" / RECORD).mkdir(parents=True)
    misplaced = folder_of(like(record, seed=2), tmp_path) / RECORD
    misplaced = misplaced.rename(tmp_path / "records" / "0123456789ab.json")
    assert load_all(tmp_path) == [record]
    for path in (torn, misplaced, tmp_path / "folder" / RECORD):
        assert f"skipped: {path}: " in caplog.text
        assert path.exists()


def test_a_record_is_found_by_its_id_in_its_folder_or_where_records_are_kept(
    record: Record, tmp_path: Path
):
    folder_of(record, tmp_path)
    assert find(tmp_path, record.run_id) == record
    kept = tmp_path / "kept" / "records"
    kept.mkdir(parents=True)
    (tmp_path / record.run_id / RECORD).rename(kept / f"{record.run_id}.json")
    (kept / "note.json").write_text("{}")  # no name of a run
    assert find(kept.parent, record.run_id) == record
    assert load_all(kept.parent) == [record]
    assert find(kept.parent, "0123456789ab") is None
    (kept / f"{record.run_id}.json").rename(kept / "0123456789ab.json")
    with pytest.raises(ConfigError, match=f"belongs to run {record.run_id}"):
        find(kept.parent, "0123456789ab")


# What is asked of them


def test_the_test_error_is_that_of_the_view(record: Record):
    scores = {"center": Scores(0.4, 0.2, 1.0, 5), "ten_view": Scores(0.3, 0.1, None, 5)}
    record = replace(record, test=scores)
    assert [record.test_error(view, k) for view in scores for k in (1, 5)] == [0.4, 0.2, 0.3, 0.1]


def test_a_diverged_run_counts_as_chance(record: Record):
    record = replace(record, status="diverged", test={}, data=replace(record.data, classes=4))
    assert [record.test_error("ten_view", k) for k in (1, 5)] == [0.75, 0.0]
