from dataclasses import replace

import pytest
from rich.console import Console

from ablations.launch.summary import show_summary
from ablations.record import Record, Scores
from ablations.techniques import Evaluation, Pooling


def rows(jobs, records: dict[str, Record], search: bool = False) -> list[str]:
    console = Console(record=True, width=200, force_terminal=False)
    show_summary(console, jobs, records, search)
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def scored(record: Record, top1: float, **values) -> Record:
    test = {"ten_view": Scores(top1, top1 / 10, None, 23), "center": Scores(0.9, 0.8, 1.0, 23)}
    values = {"val": Scores(top1, top1 / 10, 1.0, 23)} | values
    return replace(
        record, test=test, seconds=61.0, evaluation_seconds=7.0, images_per_second=1234.5, **values
    )


def test_a_row_for_each_arm_with_mean_and_sd(tiny_job, record: Record):
    jobs = [
        replace(tiny_job(seed=seed, pooling=pooling), label=f"pooling={pooling.value}")
        for pooling in Pooling
        for seed in (0, 1)
    ]
    errors = [0.10, 0.20, 0.30, 0.30]
    records = {j.run.run_id: scored(record, e) for j, e in zip(jobs, errors, strict=True)}
    text = rows(jobs, records)
    assert any("synthetic, smoke, mean of ten views, mean ± sd over seeds" in row for row in text)
    assert "pooling=overlap 2 15.00 ± 7.07 1.50 ± 0.71 2 1 min 1 s 7 s" in text
    assert "pooling=nonoverlap 2 30.00 ± 0.00 3.00 ± 0.00 2 1 min 1 s 7 s" in text


def test_one_seed_has_no_deviation_and_a_failed_run_has_no_row(tiny_job, record: Record):
    jobs = [tiny_job(evaluation=Evaluation.center), tiny_job(seed=1)]
    text = rows(jobs, {jobs[0].run.run_id: scored(record, 0.125)})
    assert any("center view, one seed" in row for row in text)
    assert "evaluation=center 1 90.00 80.00 2 1 min 1 s 7 s" in text
    assert rows(jobs, {}) == []


def test_a_diverged_run_is_counted_and_counts_as_chance(tiny_job, record: Record):
    jobs = [tiny_job(seed=0), tiny_job(seed=1)]
    diverged = replace(scored(record, 0.5), status="diverged", test={}, epochs=0)
    found = (scored(record, 0.5), diverged)
    records = {job.run.run_id: result for job, result in zip(jobs, found, strict=True)}
    row, what_next = (row for row in rows(jobs, records) if "diverged" in row)
    assert row.startswith("baseline 2 (1 diverged) 70.00 ± 28.28 27.50")
    assert " 0-2 " in row
    assert what_next.startswith("diverged 1 run: ")
    assert what_next.endswith("recipe.lr below 0.01")


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_table_breaks_no_word(width: int, tiny_job, record: Record):
    job = replace(tiny_job(), label="augmentation=crop_flip recipe.milestones=[0.5]")
    jobs = [job, replace(job, run=replace(job.run, seed=1))]
    console = Console(record=True, width=width)
    show_summary(console, jobs, {job.run.run_id: scored(record, 0.5) for job in jobs})
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for word in (
        "augmentation=crop_flip",
        "recipe.milestones=[0.5]",
        "50.00 ± 0.00",
        "5.00 ± 0.00",
    ):
        assert word in text
    assert ("evaluation" in text.split()) == (width > 80)


def test_a_long_name_is_broken_before_an_error_is_left_out(tiny_job, record: Record):
    name = f"data.path={'folder/' * 9}"
    jobs = [replace(tiny_job(seed=seed), label=name) for seed in (0, 1)]
    console = Console(record=True, width=60)
    show_summary(console, jobs, {job.run.run_id: scored(record, 0.5) for job in jobs})
    lines = [line for line in console.export_text().splitlines() if line.startswith(" ")]
    assert max(map(len, lines)) <= 60
    assert any("50.00 ± 0.00   5.00 ± 0.00" in line for line in lines)
    assert name in "".join(line.split()[0] for line in lines if line.strip())


def test_a_search_shows_the_error_that_it_minimizes(tiny_job, record: Record):
    job = tiny_job(evaluation=Evaluation.center)
    found = scored(record, 0.125, val=Scores(0.0625, 0.01, 1.0, 23))
    text = rows([job], {job.run.run_id: found}, search=True)
    assert any(row.endswith("val top-1 %") for row in text)
    assert "evaluation=center 1 90.00 80.00 2 1 min 1 s 7 s 6.25" in text


def test_runs_on_other_data_have_their_own_table(tiny_job, record: Record):
    one = tiny_job()
    dataset = replace(one.run.data, name="photographs")
    other = replace(one, run=replace(one.run, data=dataset, fingerprint="other"))
    text = rows([one, other], {job.run.run_id: scored(record, 0.5) for job in (one, other)})
    titles = [row for row in text if "Test error" in row]
    assert len(titles) == 2
    assert "photographs" in titles[1]


@pytest.mark.parametrize(
    ("errors", "status", "names"),
    [
        ([0.76, 0.74], "finished", "2 of 2 runs of pooling=overlap; "),
        ([0.633, 0.76], "finished", "1 of 2 runs of pooling=overlap; "),
        ([0.75, 0.4, 0.4], "finished", None),
        ([0.75], "diverged", None),
    ],
)
def test_an_arm_at_chance_is_named(errors, status, names, tiny_job, record: Record):
    data = replace(record.data, classes=4)
    jobs = [replace(tiny_job(seed=seed), label="pooling=overlap") for seed in range(len(errors))]
    records = {
        job.run.run_id: scored(
            record, error, data=data, val=Scores(error, 0.0, 1.0, 500), status=status
        )
        for job, error in zip(jobs, errors, strict=True)
    }
    other = replace(tiny_job(seed=9), label="baseline")
    records[other.run.run_id] = scored(record, 0.2, data=data, val=Scores(0.2, 0.0, 1.0, 500))
    found = [row for row in rows([*jobs, other], records) if row.startswith("at chance")]
    if names is None:
        assert found == []
    else:
        (row,) = found
        assert row.startswith(f"at chance {names}")
        assert "next step: " in row
