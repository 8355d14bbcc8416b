import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablations.config import ConfigError, Job, run_id_of
from ablations.record import RECORD, SCHEMA, Record, Scores, find, load, load_all, pack, unpack


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


def test_a_diverged_record_survives_its_file(record: Record, tmp_path: Path):
    diverged = replace(
        record,
        status="diverged",
        train=None,
        val=None,
        test={},
        curve=[],
        predicted={},
        colors=[],
        neighbors=None,
    )
    assert load(folder_of(diverged, tmp_path)) == diverged


def test_the_run_of_a_record_is_the_run_that_was_trained(record: Record, finished: Path):
    run = Job.load(finished).run
    assert record.run.run_id == run.run_id == record.run_id
    assert record.run.techniques == run.techniques
    assert replace(record.run.recipe, bias_lr_mult=None) == run.recipe
    assert replace(record.run, recipe=run.recipe, data=run.data) == run


def test_a_folder_without_a_record_is_not_done(tmp_path: Path):
    assert load(tmp_path) is None


def test_a_number_that_is_none_is_refused_and_leaves_no_file(record: Record, tmp_path: Path):
    broken = replace(record, val=Scores(0.5, 0.1, math.nan, 10))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [[], [0], [3, 0, 999, 65535], list(range(1000)) * 3], ids=len)
def test_class_numbers_survive_packing(classes: list[int]):
    found = unpack(pack(np.array(classes, dtype=np.int64)))
    assert found.dtype == np.int64
    assert found.tolist() == classes


# What is not read


@pytest.mark.parametrize("schema", [1, 3, "2", None])
def test_a_record_of_another_schema_is_refused(schema: Any, record: Record, tmp_path: Path):
    folder = folder_of(record, tmp_path)
    change(folder / RECORD, schema=schema)
    assert f"schema {schema}, and this version reads schema 2" in refused(folder)


def test_a_record_from_before_there_were_schemas_is_refused(tmp_path: Path):
    (tmp_path / RECORD).write_text('{"run_id": "0123456789ab", "setting": "smoke"}')
    assert "schema 1, and this version reads schema 2" in refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "1", '{"schema": 2}', '{"seed": NaN}', "[" * 100_000, '"\\ud800"', "\0"],
    ids=["empty", "torn", "list", "number", "incomplete", "nan", "deep", "surrogate", "zero"],
)
def test_a_damaged_record_is_refused(content: str, tmp_path: Path):
    (tmp_path / RECORD).write_text(content)
    refused(tmp_path)


def test_a_record_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / RECORD).write_bytes(b"\xff\xfe\x00")
    assert "damaged" in refused(tmp_path)


def test_a_value_of_another_type_is_named(record: Record, tmp_path: Path):
    folder = folder_of(record, tmp_path)
    change(folder / RECORD, seed="abc")
    assert "damaged, seed: " in refused(folder)


def test_a_record_of_another_run_is_refused(record: Record, tmp_path: Path):
    folder = folder_of(record, tmp_path)
    other = folder.rename(tmp_path / "0123456789ab")
    assert f"is the record of run {record.run_id}; next step: move it away" in refused(other)


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe.lr": 0.5}, {"norm": "none"}], ids=str)
def test_a_record_whose_values_were_altered_is_refused(
    change: dict[str, Any], record: Record, tmp_path: Path
):
    altered = replace(record, differences={**record.differences, **change})
    said = refused(folder_of(altered, tmp_path))
    assert f"run_id={record.run_id}, but its values hash to " in said


def test_a_record_of_other_numerics_cannot_have_the_id(record: Record, tmp_path: Path):
    folder = folder_of(replace(record, numerics=record.numerics - 1), tmp_path)
    assert "its values hash to " in refused(folder)


def test_a_record_of_earlier_numerics_is_read_under_its_own_id(record: Record, tmp_path: Path):
    run_id = run_id_of(record.differences, record.numerics - 1)
    earlier = replace(record, run_id=run_id, numerics=record.numerics - 1)
    assert load(folder_of(earlier, tmp_path)) == earlier


def test_a_record_with_a_technique_of_a_later_version_is_refused(record: Record, tmp_path: Path):
    folder = folder_of(like(record, norm="l2", color="gray"), tmp_path)
    said = refused(folder)
    assert "not a run of this version" in said
    assert "norm=l2, color=gray; next step" in said
    assert load_all(tmp_path) == []


# Many records


def test_all_records_are_read_and_other_files_left_alone(record: Record, tmp_path: Path):
    records = [like(record, seed=seed) for seed in (1, 2, 3)]
    for each in records:
        folder_of(each, tmp_path)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "note.txt").write_text("")
    assert load_all(tmp_path) == sorted(records, key=lambda each: each.run_id)


def test_records_that_cannot_be_read_are_skipped_with_a_warning(
    record: Record, tmp_path: Path, caplog
):
    bad = [like(record, seed=seed) for seed in (1, 2, 3)]
    folders = [folder_of(each, tmp_path) for each in bad]
    change(folders[0] / RECORD, schema=1)
    (folders[1] / RECORD).write_text("{")
    folders[2] = folders[2].rename(tmp_path / "ba9876543210")
    folder_of(record, tmp_path)
    (tmp_path / "records").mkdir()
    kept = tmp_path / "records" / "0123456789ab.json"
    kept.write_text((folders[2] / RECORD).read_text())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert load_all(tmp_path) == [record]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before
    for path in (*(folder / RECORD for folder in folders), kept):
        assert caplog.text.count(str(path)) == 1


def test_records_that_were_kept_without_their_runs_are_read(record: Record, tmp_path: Path):
    (tmp_path / "records").mkdir()
    kept = tmp_path / "records" / f"{record.run_id}.json"
    record.save(tmp_path)
    (tmp_path / RECORD).rename(kept)
    (tmp_path / "records" / "note.json").write_text("{}")  # no name of a run
    assert load_all(tmp_path) == [record]
    assert find(tmp_path, record.run_id) == record
    assert find(tmp_path, "0123456789ab") is None


def test_a_run_is_found_by_its_id(record: Record, tmp_path: Path):
    folder_of(record, tmp_path)
    assert find(tmp_path, record.run_id) == record
    assert find(tmp_path / "missing", record.run_id) is None


def test_a_kept_record_of_another_run_is_not_found_under_its_name(record: Record, tmp_path: Path):
    (tmp_path / "records").mkdir()
    record.save(tmp_path)
    (tmp_path / RECORD).rename(tmp_path / "records" / "0123456789ab.json")
    with pytest.raises(ConfigError, match=f"is the record of run {record.run_id}"):
        find(tmp_path, "0123456789ab")


def test_no_folder_holds_no_records(tmp_path: Path):
    assert load_all(tmp_path / "missing") == []


# What is asked of them


def test_the_test_error_is_that_of_the_view(record: Record):
    scores = {"center": Scores(0.4, 0.2, 1.0, 5), "ten_view": Scores(0.3, 0.1, None, 5)}
    record = replace(record, test=scores)
    assert [record.test_error(view, k) for view in scores for k in (1, 5)] == [0.4, 0.2, 0.3, 0.1]


@pytest.mark.parametrize(("classes", "top1", "top5"), [(10, 0.9, 0.5), (4, 0.75, 0.0)])
def test_a_diverged_run_counts_as_chance(record: Record, classes: int, top1: float, top5: float):
    data = replace(record.data, classes=classes)
    record = replace(record, status="diverged", test={}, data=data)
    assert record.test_error("ten_view", 1) == top1
    assert record.test_error("ten_view", 5) == top5


def test_an_image_is_misclassified_whose_prediction_is_another_class(record: Record):
    labels, center = np.array([0, 1, 2, 3]), np.array([0, 2, 2, 1])
    predicted = {"center": pack(center), "ten_view": pack(labels)}
    record = replace(record, labels=pack(labels), predicted=predicted)
    assert record.misclassified("center").tolist() == [False, True, False, True]
    assert not record.misclassified("ten_view").any()
