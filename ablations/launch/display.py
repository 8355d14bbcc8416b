"""Terminal output of a command: its plan, a live table of its runs, and errors."""

import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablations.config import Job, Trainer
from ablations.launch.devices import slow_precision
from ablations.launch.frozen import torchrun_options
from ablations.launch.plan import Plan, Timing
from ablations.launch.pool import ALIVE, RunState
from ablations.launch.slurm import describe
from ablations.record import Record
from ablations.words import count, duration

LINE_SECONDS = 15.0
BAR, SHORTEST = 12, 8  # characters of the progress bar, and of a column with broken words
_STYLES = {"finished": "green", "diverged": "yellow", "failed": "bold red", "running": "cyan"}


def make_console() -> Console:
    """Return a console without markup and emoji codes, which names may contain by chance."""
    return Console(markup=False, emoji=False)


def show(console: Console, subject: str, text: str) -> None:
    """Print a subject in bold and a text in one line."""
    console.print(Text.assemble((subject, "bold"), f"  {text}"), soft_wrap=True)


def fit(console: Console, table: Table, spare: Sequence[str] = ()) -> Table:
    """Return the table, adjusted to the width of the console.

    If the table is too wide even with broken lines, columns are dropped; and last, words of the
    first column are broken.

    Args:
        console: The console to print on.
        table: The table with all columns; modified in place.
        spare: Titles of columns that may be dropped, in this order.
    """
    boundless = console.options.update(width=10_000)
    for column in table.columns:
        cells = (column.header, *column.cells)
        sizes = [Measurement.get(console, boundless, cell) for cell in cells]
        column.min_width = max(s.maximum if column.no_wrap else s.minimum for s in sizes)
    for title in (*spare, None):
        excess = Measurement.get(console, boundless, table).minimum - console.width
        if excess <= 0:
            break
        table.columns = [column for column in table.columns if column.header != title]
    else:
        first = table.columns[0]
        first.min_width = max(SHORTEST, (first.min_width or 0) - excess)
    return table


def show_waiting(console: Console, states: list[RunState]) -> None:
    """Print how many runs are still running or queued in SLURM."""
    alive = [state.status for state in states if state.status in ALIVE]
    if alive:
        show(
            console,
            "slurm",
            f"{alive.count('running')} running, {alive.count('queued')} queued; run the same "
            "command to check again, or without trainer.slurm.detach=true to wait for them",
        )


def show_plan(console: Console, plan: Plan) -> None:
    """Print how many runs there are, how many are done, and how long the rest may take."""
    done = len(plan.jobs) - len(plan.left)
    parts = [count(len(plan.jobs), "run")]
    if done:
        parts.append(f"{done} finished before")
    if plan.left and not plan.jobs[0].fast_dev_run:
        parts.append(f"{len(plan.left)} to train" if done else "")
        parts.append(Timing(plan.output).left(plan.left))
    show(console, "plan", f"{', '.join(filter(None, parts))}; records in {plan.output}")
    if plan.merged:
        show(
            console,
            "note",
            f"merged {count(plan.merged, 'job')}, because only the trainer differs, which is not "
            "part of a run's id",
        )
    show_slow_precision(console, plan.left)
    for trainer in dict.fromkeys(job.trainer for job in plan.left):
        if trainer.slurm.submit:
            jobs = [job for job in plan.left if job.trainer == trainer]
            show(console, "slurm", describe(trainer, jobs, plan.output))


def show_records(console: Console, plan: Plan, records: dict[str, Record]) -> None:
    """Print the folder of a single record, or the run ids of each arm, which predict.py takes."""
    jobs = [job for job in plan.jobs if job.run.run_id in records]
    if len(jobs) == 1:
        show(console, "record", str(plan.output / jobs[0].run.run_id))
    if len(jobs) < 2:
        return
    show(console, "records", str(plan.output))
    arms: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        arms.setdefault((job.label, job.experiment), []).append(job)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    table.add_column("experiment")
    table.add_column("run ids, in the order of the seeds")
    for (label, experiment), members in arms.items():
        members.sort(key=lambda job: job.run.seed)
        ids = Text(" ".join(job.run.run_id for job in members))
        table.add_row(Text(label), Text(experiment), ids)
    console.print(fit(console, table, ["experiment"]))


def show_slow_precision(console: Console, jobs: Iterable[Job]) -> None:
    """Print a warning if a job uses a precision that this CPU emulates."""
    if warning := slow_precision(jobs):
        show(console, "warning", warning)


def show_torchrun(console: Console, folders: Iterable[Path], trainer: Trainer) -> None:
    """Print the torchrun commands that train runs on several nodes."""
    show(
        console,
        "nodes",
        "configurations are written, nothing is trained; next step: run this on each of the "
        f"{trainer.num_nodes} nodes (HOST is the first node), then repeat the command above for "
        "the table",
    )
    for folder in folders:
        command = shlex.join(["torchrun", *torchrun_options(folder, trainer)])
        console.print(command, highlight=False, soft_wrap=True)


class Monitor:
    """Displays the progress of runs.

    On a terminal it redraws a table in place; elsewhere it prints a line when a run starts or
    ends, and every 15 seconds in between.

    Args:
        console: The console to print on.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, refresh_per_second=4, transient=True)
        self.clock = _Clock()
        self.told: dict[str, tuple[str, str]] = {}
        self.last_line = 0.0

    def __enter__(self) -> "Monitor":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def update(self, states: list[RunState]) -> None:
        """Display the states; of each run that has just failed, print the end of its log."""
        if self.console.is_terminal:
            self.live.update(_live_table(self.console, states, self.clock))
        due = time.monotonic() - self.last_line > LINE_SECONDS
        for state in states:
            now = state.status, state.awaits
            changed = self.told.get(state.job.run.run_id, ("waiting", "")) != now
            self.told[state.job.run.run_id] = now
            quiet = self.console.is_terminal and state.status != "failed"
            if not quiet and (changed or (due and state.status == "running")):
                self.last_line = time.monotonic()
                self.console.print(_line(state), soft_wrap=True)
            if changed and state.status == "failed":
                self.console.print(Text(state.tail, "red"), soft_wrap=True)
                self.console.print(Text(f"full log: {state.folder / 'log.txt'}"), soft_wrap=True)


class _Clock:
    """Measures the time of a command, and estimates how long its remaining runs will take."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first: tuple[float, float] | None = None

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def left(self, states: list[RunState]) -> float | None:
        """Return the estimated seconds left, or None before there is any progress."""
        ended = {"finished", "diverged", "failed"}
        parts = [1.0 if s.status in ended else s.progress.get("done", 0.0) for s in states]
        now, done = time.monotonic(), sum(parts) / len(parts)
        # Exclude the start of processes, and the epochs of resumed runs before this command.
        if self.first is None and any(state.progress for state in states):
            self.first = now, done
        if self.first is None or done <= self.first[1]:
            return None
        return (now - self.first[0]) * (1 - done) / (done - self.first[1])


def _live_table(console: Console, states: list[RunState], clock: _Clock) -> Group:
    running = [state for state in states if state.status == "running"]
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for name in ("seed", "progress", "epoch", "val top-1", "images/s", "time left"):
        table.add_column(name, justify="right", no_wrap=True)
    for state in running:
        bar = ProgressBar(total=1.0, completed=state.progress.get("done", 0.0), width=BAR)
        epoch, error, rate, left = _cells(state)
        row = str(state.job.run.seed), bar, epoch, error, rate, left
        table.add_row(Text(state.job.label), *row)
    fit(console, table, ["images/s", "epoch"])
    done = sum(state.status in {"finished", "diverged"} for state in states)
    failed = sum(state.status == "failed" for state in states)
    queued = sum(state.status == "queued" for state in states)
    summary = f"{done} of {len(states)} done" + f", {failed} failed" * bool(failed)
    summary += f", {queued} queued" * bool(queued) + f", {duration(clock.elapsed())} so far"
    left = None if queued else clock.left(states)
    summary += f", about {duration(left)} left" if left else ""
    summary += "".join(f", waiting {_awaits(state)}" for state in states if state.awaits)
    return Group(*([table] if running else []), Text(summary, style="dim"))


def _awaits(state: RunState) -> str:
    return f"for a free {state.awaits} (other commands use all)"


def _cells(state: RunState) -> tuple[str, str, str, str]:
    """Return epoch, validation error, images per second and time left as text, empty if unknown."""
    progress, epochs = state.progress, state.job.run.recipe.epochs
    if state.job.fast_dev_run:  # one batch has no meaningful score or time
        return "one batch", "", "", ""
    if not progress:
        return "starting", "", "", ""
    error = f"{progress['val_top1']:.1%}" if "val_top1" in progress else ""
    seconds = progress.get("seconds_left")
    left = "" if seconds is None else duration(seconds)
    if progress["stage"] == "test":
        return "testing", error, "", left
    return f"{progress['epoch']:.1f}/{epochs}", error, f"{progress['images_per_second']:,.0f}", left


def _line(state: RunState) -> Text:
    text = Text(f"{state.status:<9}", style=_STYLES.get(state.status, ""))
    text.append(f" {state.job.label} seed={state.job.run.seed}", style="default")
    if state.awaits:
        text.append(f"  {_awaits(state)}", style="dim")
    if state.status == "running" and state.progress:
        epoch, error, rate, left = _cells(state)
        facts = (
            f"epoch {epoch}" if epoch[0].isdigit() else epoch,
            error and f"val top-1 {error}",
            rate and f"{rate} images/s",
            left and f"{left} left",
        )
        text.append("  " + ", ".join(filter(None, facts)), style="dim")
    elif (record := state.record) is not None and state.status == "finished":
        view, top_k = record.evaluation, record.data.top_k
        errors = "".join(f"top-{k} {record.test_error(view, k):.2%}, " for k in top_k)
        trained, tested = duration(record.seconds), duration(record.evaluation_seconds)
        text.append(f"  {errors}trained in {trained}, tested in {tested}", style="dim")
    return text
