from dataclasses import replace

import pytest
from rich.console import Console

from ablations.launch.summary import show_summary
from ablations.record import Record, Scores
from ablations.techniques import Evaluation, Pooling


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, force_terminal=False)


def rows(console: Console) -> list[str]:
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def scored(record: Record, top1: float, **values) -> Record:
    test = {"ten_view": Scores(top1, top1 / 10, None, 23), "center": Scores(0.9, 0.8, 1.0, 23)}
    return replace(record, test=test, seconds=61.0, images_per_second=1234.5, **values)


def test_a_row_for_each_arm_with_mean_and_sd(console, tiny_job, record: Record):
    jobs = [
        replace(tiny_job(seed=seed, pooling=pooling), label=f"pooling={pooling.value}")
        for pooling in Pooling
        for seed in (0, 1)
    ]
    errors = [0.10, 0.20, 0.30, 0.30]
    records = {j.run.run_id: scored(record, e) for j, e in zip(jobs, errors, strict=True)}
    show_summary(console, jobs, records)
    text = rows(console)
    assert any("synthetic, smoke, mean of ten views, mean ± sd over seeds" in row for row in text)
    assert "pooling=overlap 2 15.00 ± 7.07 1.50 ± 0.71 2 1 min 1 s" in text
    assert "pooling=nonoverlap 2 30.00 ± 0.00 3.00 ± 0.00 2 1 min 1 s" in text


def test_one_seed_has_no_deviation(console, tiny_job, record: Record):
    job = tiny_job()
    show_summary(console, [job], {job.run.run_id: scored(record, 0.125)})
    text = rows(console)
    assert any("one seed" in row for row in text)
    assert "baseline 1 12.50 1.25 2 1 min 1 s" in text


def test_the_center_view_where_tables_show_it(console, tiny_job, record: Record):
    job = tiny_job(evaluation=Evaluation.center)
    show_summary(console, [job], {job.run.run_id: scored(record, 0.125)})
    assert any("center view" in row for row in rows(console))


def test_a_diverged_run_is_counted_and_counts_as_chance(console, tiny_job, record: Record):
    jobs = [tiny_job(seed=0), tiny_job(seed=1)]
    diverged = replace(scored(record, 0.5), status="diverged", test={}, epochs=0)
    show_summary(
        console,
        jobs,
        {jobs[0].run.run_id: scored(record, 0.5), jobs[1].run.run_id: diverged},
    )
    (row,) = (row for row in rows(console) if "diverged" in row)
    assert row.startswith("baseline 2 (1 diverged) 70.00 ± 28.28 27.50")
    assert " 0-2 " in row


def test_runs_on_other_data_have_their_own_table(console, tiny_job, record: Record):
    one = tiny_job()
    dataset = replace(one.run.data, name="photographs")
    other = replace(one, run=replace(one.run, data=dataset, fingerprint="other"))
    records = {job.run.run_id: scored(record, 0.5) for job in (one, other)}
    show_summary(console, [one, other], records)
    text = console.export_text()
    assert text.count("Test error") == 2
    assert "photographs" in text


def test_what_failed_has_no_row(console, tiny_job):
    show_summary(console, [tiny_job()], {})
    assert console.export_text() == ""
