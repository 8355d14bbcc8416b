from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ablations.config import Accelerator, Precision, Slurm, Trainer
from ablations.launch import display
from ablations.launch.display import Monitor, make_console, show, show_plan
from ablations.launch.plan import Plan, Timing
from ablations.launch.pool import RunState
from ablations.launch.summary import show_summary
from ablations.record import Record
from ablations.words import duration


def console(*, terminal: bool = False) -> Console:
    return Console(record=True, width=200, force_terminal=terminal)


def rows(shown: Console) -> list[str]:
    return [" ".join(line.split()) for line in shown.export_text().splitlines()]


@pytest.mark.parametrize(
    ("runs", "done", "said"),
    [
        (3, 1, "3 runs, 1 finished before, 2 to train, about 2 min;"),
        (1, 0, "1 run, about 1 min;"),
        (1, 1, "1 run, 1 finished before;"),
    ],
)
def test_the_plan_says_what_is_left_and_how_long_it_takes(
    runs, done, said, tiny_job, record: Record, monkeypatch
):
    monkeypatch.setattr(Timing, "left", lambda self, jobs: f"about {len(jobs)} min")
    jobs = [tiny_job(seed=seed) for seed in range(runs)]
    records = {job.run.run_id: record for job in jobs[:done]}
    shown = console()
    show_plan(shown, Plan(Path("runs"), jobs, records, []))
    assert rows(shown) == [f"plan {said} records in runs"]


def state(job, status: str, **values) -> RunState:
    return RunState(job, Path("runs") / job.run.run_id, status, **values)


PROGRESS = {
    **{"stage": "train", "epoch": 1.5, "images_per_second": 1234.0, "seconds_left": 61.0},
    **{"val_top1": 0.25, "done": 0.5},
}


def test_a_line_for_each_change(tiny_job, record: Record):
    job = replace(tiny_job(seed=3), label="pooling=nonoverlap")
    shown = console()
    with Monitor(shown) as monitor:
        for present in (
            state(job, "waiting"),
            state(job, "running"),
            state(job, "running", progress=PROGRESS),
            state(job, "finished", record=record),
            state(job, "finished", record=record),
            state(
                replace(job, run=replace(job.run, seed=4)), "failed", tail="ValueError: [0] boom"
            ),
            state(
                replace(job, run=replace(job.run, seed=4)), "failed", tail="ValueError: [0] boom"
            ),
        ):
            monitor.update([present])
    top1, top5 = record.test_error("ten_view", 1), record.test_error("ten_view", 5)
    *lines, whole_log = rows(shown)
    assert lines == [
        "running pooling=nonoverlap seed=3 starting",
        f"finished pooling=nonoverlap seed=3 top-1 {top1:.2%}, top-5 {top5:.2%}, trained in "
        f"{duration(record.seconds)}, tested in {duration(record.evaluation_seconds)}",
        "failed pooling=nonoverlap seed=4",
        "ValueError: [0] boom",
    ]
    assert whole_log.endswith("/log.txt")


def test_a_line_at_intervals(tiny_job, monkeypatch):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    shown, testing = console(), {"stage": "test", "seconds_left": 20.0}
    with Monitor(shown) as monitor:
        for progress in (PROGRESS, {**PROGRESS, "epoch": 1.6}, testing):
            monitor.update([state(tiny_job(), "running", progress=progress)])
    first, second, third = rows(shown)
    assert "epoch 1.5/2, val top-1 25.0%, 1,234 images/s, 1 min 1 s left" in first
    assert second == first.replace("1.5/2", "1.6/2")
    assert third.endswith("testing, 20 s left")


def test_one_batch_has_no_score(tiny_job, monkeypatch):
    monkeypatch.setattr(display, "LINE_SECONDS", 0.0)
    shown, terminal = console(), console(terminal=True)
    states = [state(tiny_job(fast_dev_run=True), "running", progress=PROGRESS)]
    for where in (shown, terminal):
        with Monitor(where) as monitor:
            monitor.update(states)
            terminal.print(monitor.progress)
    for text in (*rows(shown), *rows(terminal)):
        assert "25.0%" not in text
        assert "1.5/2" not in text


def test_a_terminal_shows_bars_of_what_runs_and_failures_above_them(tiny_job):
    states = [
        state(tiny_job(seed=0), "finished"),
        state(tiny_job(seed=1), "running", progress=PROGRESS),
        state(tiny_job(seed=2), "running"),
        state(
            tiny_job(seed=3), "running", progress={"stage": "test", "val_top1": 0.5, "done": 0.75}
        ),
        state(tiny_job(seed=4), "failed", tail="ValueError: boom"),
    ]
    shown = console(terminal=True)
    with Monitor(shown) as monitor:
        monitor.update(states)
        shown.print(monitor.progress)
        states[1].status = "finished"
        monitor.update(states)
        assert len(monitor.progress.tasks) == 3
    found = rows(shown)
    assert any("ValueError: boom" in row for row in found)
    for row in (
        "baseline seed=1 ━━━━━╺━━━━ epoch 1.5/2, val top-1 25.0%, 1 min 1 s left",
        "baseline seed=2 ━━━━━━━━━━ starting",
        "baseline seed=3 ━━━━━━━╸━━ testing, val top-1 50.0%",
    ):
        assert row in found
    assert any("1 finished, 3 running, 1 failed ━━━━━" in row for row in found)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_command_says_that_it_waits_for_a_device_of_other_commands(terminal: bool, tiny_job):
    shown, states = console(terminal=terminal), [state(tiny_job(), "waiting", awaits="GPU")]
    with Monitor(shown) as monitor:
        for _ in range(2):
            monitor.update(states)
        if terminal:
            shown.print(monitor.progress)
    found = [row for row in rows(shown) if "waiting" in row and "for a free GPU" in row]
    assert found
    assert terminal or len(found) == 1  # not at every update


@pytest.mark.parametrize("width", [70, 80])
def test_a_narrow_terminal_breaks_no_word(width: int, tiny_job):
    job = replace(tiny_job(), label="augmentation=crop_flip recipe.milestones=[0.5]")
    shown = Console(record=True, width=width, force_terminal=True)
    monitor = Monitor(shown)
    monitor.update([state(job, "running", progress=PROGRESS)])
    shown.print(monitor.progress)
    text = shown.export_text()
    assert max(map(len, text.splitlines())) <= width
    for word in ("augmentation=crop_flip", "recipe.milestones=[0.5]", "25.0%", "━━━"):
        assert word in text


def test_the_time_left_counts_every_run_at_the_present_pace(tiny_job, monkeypatch):
    monitor = Monitor(console(terminal=True))
    now = 100.0
    monkeypatch.setattr(monitor.progress, "get_time", lambda: now)
    one, other = (state(tiny_job(seed=seed), "running") for seed in (0, 1))
    states = [one, other, state(tiny_job(seed=2), "waiting")]
    one.progress = {"stage": "test", "done": 0.6}  # a resumed run
    monitor.update(states)
    (total, *_) = monitor.progress.tasks
    assert total.time_remaining is None
    now = 110.0
    one.progress, other.progress = ({"stage": "test", "done": done} for done in (0.8, 0.1))
    monitor.update(states)
    # 0.3 runs took 10 s, and 2.1 runs are left.
    assert total.time_remaining == pytest.approx(70)


@pytest.mark.parametrize(
    ("flags", "precision", "submit", "warned"),
    [
        (["avx2", "avx512f"], "bf16", False, True),
        (["avx2", "avx512f"], "fp32", False, False),
        (["avx2", "avx512_bf16"], "bf16", False, False),
        ([], "bf16", False, False),  # the flags of this CPU are unknown
        (["avx2"], "bf16", True, False),  # and so are those of SLURM's nodes
    ],
)
def test_bf16_on_a_cpu_without_it_is_warned_of(
    flags, precision, submit, warned, tiny_job, tiny_config, monkeypatch
):
    monkeypatch.setattr(display, "cpu_flags", lambda: flags)
    trainer = Trainer(Accelerator.cpu, slurm=Slurm(submit=submit))
    recipe = replace(tiny_config.recipe, precision=Precision(precision))
    shown = console()
    display.show_slow_precision(shown, [tiny_job(trainer=trainer, recipe=recipe)])
    assert bool(rows(shown)) is warned


HOSTILE = "[/nope] [bold]x <script> a|b `c` :warning:"


def test_names_are_printed_as_they_are(tiny_job, record: Record, capsys):
    name = HOSTILE
    job = replace(tiny_job(), label=name, experiment=name)
    job = replace(job, run=replace(job.run, data=replace(job.run.data, name=name)))
    plan = Plan(Path(f"runs/{name}"), [job], {}, [])
    shown = make_console()
    shown.width = 400
    show_plan(shown, plan)
    states = [
        RunState(job, plan.output, "failed", tail=name),
        RunState(job, plan.output, "running", progress=PROGRESS),
    ]
    with Monitor(shown) as monitor:
        for one in states:
            monitor.update([one])
        shown.print(monitor.progress)
    show_summary(shown, [job], {job.run.run_id: record})
    show(shown, "data", name)
    # In the plan, two lines, the tail, the path of the log, the bar, the table and the data line.
    assert capsys.readouterr().out.count(name) >= 9
