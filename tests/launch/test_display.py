from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ablations.launch import display
from ablations.launch.display import Monitor, duration, show_plan
from ablations.launch.plan import Estimate, Plan
from ablations.launch.pool import RunState
from ablations.record import Record
from ablations.techniques import Pooling


@pytest.fixture
def console() -> Console:
    """A console that is no terminal, 200 columns wide."""
    return Console(record=True, width=200, force_terminal=False)


@pytest.fixture
def screen() -> Console:
    """A terminal."""
    return Console(record=True, width=200, force_terminal=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float | None, text: str):
    assert duration(seconds) == text


def test_the_plan_says_what_is_left_and_how_long_it_takes(console, tiny_job, record: Record):
    jobs = [tiny_job(seed=seed) for seed in range(3)]
    records = {jobs[0].run.run_id: record}
    show_plan(console, Plan(Path("runs"), jobs, records, Estimate(200.0, 0, 2), []))
    text = console.export_text()
    assert "3 runs, 1 finished before, 2 to train, about 3 min 20 s; records in runs" in text


def test_the_plan_warns_of_a_precision_that_is_slow_here(console, tiny_job, monkeypatch):
    monkeypatch.setattr(display, "slow_precision", lambda jobs: f"{len(jobs)} slow jobs")
    show_plan(console, Plan(Path("runs"), [tiny_job()], {}, Estimate(0.0, 1, 1), []))
    assert "warning  1 slow jobs" in console.export_text()


def test_the_plan_of_one_new_run(console, tiny_job):
    show_plan(console, Plan(Path("runs"), [tiny_job()], {}, Estimate(0.0, 1, 1), []))
    assert "1 run, time not known yet; records in runs" in console.export_text()


def test_a_plan_with_nothing_left_gives_no_time(console, tiny_job, record: Record):
    job = tiny_job()
    show_plan(console, Plan(Path("runs"), [job], {job.run.run_id: record}, Estimate(0.0, 0, 0), []))
    assert "1 run, 1 finished before; records in runs" in console.export_text()


def state(job, status: str, **values) -> RunState:
    return RunState(job, Path("runs") / job.run.run_id, status, **values)


PROGRESS = {"stage": "train", "epoch": 1.5, "images_per_second": 1234.0, "seconds_left": 61.0}


def test_a_line_for_each_change(console, tiny_job, record: Record):
    job = tiny_job(seed=3, pooling=Pooling.nonoverlap)
    with Monitor(console) as monitor:
        for present in (
            state(job, "waiting"),
            state(job, "running"),
            state(job, "running"),
            state(job, "running", progress={**PROGRESS, "val_top1": 0.25}),
            state(job, "finished", record=record),
            state(job, "finished", record=record),
        ):
            monitor.update([present])
    lines = console.export_text().splitlines()
    top1, top5 = record.test_error("ten_view", 1), record.test_error("ten_view", 5)
    assert lines == [
        "running   pooling=nonoverlap seed=3",
        f"finished  pooling=nonoverlap seed=3  top-1 {top1:.2%}, top-5 {top5:.2%} in 0 s",
    ]


def test_a_line_at_intervals_where_there_is_news(console, tiny_job, monkeypatch):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    job = replace(tiny_job(), label="x" * 100)
    with Monitor(console) as monitor:
        for epoch in (1.5, 1.5, 1.6):
            progress = {**PROGRESS, "val_top1": 0.25, "epoch": epoch}
            monitor.update([state(job, "running", progress=progress)])
    first, second = console.export_text().splitlines()
    assert "epoch 1.5/2, val top-1 25.0%, 1,234 images/s, 1 min 1 s left" in first
    assert second == first.replace("1.5/2", "1.6/2")


def test_a_test_says_how_long_it_takes(console, tiny_job, monkeypatch):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    with Monitor(console) as monitor:
        for progress in ({"stage": "test"}, {"stage": "test", "seconds_left": 20.0}):
            monitor.update([state(tiny_job(), "running", progress=progress)])
    first, second = console.export_text().splitlines()
    assert first.endswith("epoch 2/2, testing")
    assert second.endswith("epoch 2/2, testing, 20 s left")


def test_a_failure_is_shown_at_once_and_once(console, tiny_job):
    failed = state(tiny_job(), "failed", tail="Traceback\nValueError: [0] boom")
    with Monitor(console) as monitor:
        monitor.update([failed])
        monitor.update([failed])
    text = console.export_text()
    assert text.count("ValueError: [0] boom") == 1
    assert "whole log: runs/" in text


def test_a_terminal_shows_a_table_of_what_runs(screen, tiny_job):
    states = [
        state(tiny_job(seed=0), "finished"),
        state(tiny_job(seed=1), "running", progress={**PROGRESS, "val_top1": 0.25}),
        state(tiny_job(seed=2), "running"),
        state(tiny_job(seed=3), "running", progress={"stage": "test", "val_top1": 0.5}),
        state(tiny_job(seed=4), "failed"),
    ]
    screen.print(display._live_table(states))
    text = screen.export_text()
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "baseline 1 1.5/2 25.0% 1,234 1 min 1 s left" in rows
    assert "baseline 2 0/2 starting" in rows
    assert "baseline 3 2/2 50.0% testing" in rows
    assert "1 of 5 done, 1 failed" in rows


def test_a_terminal_prints_failures_above_the_table(screen, tiny_job):
    with Monitor(screen) as monitor:
        monitor.update([state(tiny_job(), "running", progress=PROGRESS)])
        monitor.update([state(tiny_job(), "failed", tail="ValueError: boom")])
    assert "ValueError: boom" in screen.export_text()
