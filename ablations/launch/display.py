"""What a command shows: the plan before, a live table meanwhile, the errors after."""

import time
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ablations.config import Job, Trainer
from ablations.launch.devices import slow_precision
from ablations.launch.plan import Estimate, Plan
from ablations.launch.pool import RunState
from ablations.launch.slurm import describe

LINE_SECONDS = 15.0
_STYLES = {"finished": "green", "diverged": "yellow", "failed": "bold red", "running": "cyan"}


def make_console() -> Console:
    """Return a console that prints every text as it is: names may look like rich's own markup."""
    return Console(markup=False, emoji=False)


def show(console: Console, subject: str, text: str) -> None:
    """Print a line after its subject in bold; it is left to the terminal to wrap it."""
    console.print(Text.assemble((subject, "bold"), "  ", text), soft_wrap=True)


def show_waiting(console: Console, states: list[RunState]) -> None:
    """Say what was left in SLURM's queue."""
    alive = [state.status for state in states if state.status in {"queued", "running"}]
    if alive:
        show(
            console,
            "slurm",
            f"{alive.count('running')} running, {alive.count('queued')} queued; the same command "
            "asks again, and without trainer.slurm.detach=true waits for them",
        )


def duration(seconds: float | None) -> str:
    """Write a time for people: ``42 s``, ``3 min 20 s``, ``2 h 5 min``.

    Examples:
        >>> duration(200)
        '3 min 20 s'
    """
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def time_left(estimate: Estimate) -> str:
    """Write what runs may take, as far as it is known.

    Examples:
        >>> time_left(Estimate(seconds=200.0, unknown=2, runs=5))
        'about 3 min 20 s, and 2 runs of a kind not timed yet'
    """
    if estimate.unknown == estimate.runs:
        return "time not known yet"
    known = f"about {duration(estimate.seconds)}"
    if not estimate.unknown:
        return known
    return f"{known}, and {count(estimate.unknown, 'run')} of a kind not timed yet"


def count(number: int, noun: str) -> str:
    """Write a number with its noun.

    Examples:
        >>> count(1, "run"), count(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def show_plan(console: Console, plan: Plan) -> None:
    """Say how many runs there are, how many are done, and how long the rest may take."""
    done = len(plan.jobs) - len(plan.left)
    parts = [count(len(plan.jobs), "run")]
    if done:
        parts.append(f"{done} finished before")
    if plan.left and not plan.jobs[0].fast_dev_run:
        parts.append(f"{len(plan.left)} to train" if done else "")
        parts.append(time_left(plan.estimate))
    show(console, "plan", f"{', '.join(filter(None, parts))}; records in {plan.output}")
    if plan.merged:
        show(
            console,
            "note",
            f"{count(plan.merged, 'more job')} differed in the trainer alone, which changes no "
            "number: trained once, as first asked for",
        )
    show_slow_precision(console, plan.left)
    for trainer in dict.fromkeys(job.trainer for job in plan.left):
        if trainer.slurm.submit:
            jobs = [job for job in plan.left if job.trainer == trainer]
            show(console, "slurm", describe(trainer, jobs, plan.output))


def show_slow_precision(console: Console, jobs: Iterable[Job]) -> None:
    """Warn of jobs in a precision that this CPU has no instructions for."""
    if warning := slow_precision(jobs):
        show(console, "warning", warning)


def show_torchrun(console: Console, folders: Iterable[Path], trainer: Trainer) -> None:
    """Print the commands that train frozen runs on several machines."""
    show(
        console,
        "nodes",
        f"frozen, not trained: start this on each of the {trainer.num_nodes} nodes (HOST is the "
        "first of them); the command above then shows the table",
    )
    for folder in folders:
        console.print(
            f"torchrun --nnodes={trainer.num_nodes} --nproc-per-node={trainer.devices} "
            f"--rdzv-backend=c10d --rdzv-endpoint=HOST:29500 --rdzv-id={folder.name} "
            f"-m ablations.train {quote(str(folder))}",
            highlight=False,
            soft_wrap=True,
        )


class Monitor:
    """Shows the runs of a pool while they go on.

    On a terminal a table is redrawn in place; elsewhere a line is printed when a run begins or
    ends, and every 15 seconds where there is news.

    Args:
        console: Where to show them.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, refresh_per_second=4, transient=True)
        self.told: dict[str, str] = {}
        self.lines: dict[str, Text] = {}
        self.last_line = 0.0

    def __enter__(self) -> "Monitor":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def update(self, states: list[RunState]) -> None:
        """Show the present states, and each failure as soon as it happens."""
        if self.console.is_terminal:
            self.live.update(_live_table(states))
        due = time.monotonic() - self.last_line > LINE_SECONDS
        for state in states:
            changed = self.told.get(state.job.run.run_id, "waiting") != state.status
            self.told[state.job.run.run_id] = state.status
            quiet = self.console.is_terminal and state.status != "failed"
            if not quiet and (changed or (due and state.status == "running")):
                self._print_line(state)
            if changed and state.status == "failed":
                self.console.print(Text(state.tail, style="red"))
                self.console.print(Text(f"whole log: {state.folder / 'log.txt'}"), soft_wrap=True)

    def _print_line(self, state: RunState) -> None:
        self.last_line = time.monotonic()
        line = _line(state)
        if self.lines.get(state.job.run.run_id) != line:
            self.lines[state.job.run.run_id] = line
            self.console.print(line, highlight=False, soft_wrap=True)


def _live_table(states: list[RunState]) -> Group:
    running = [state for state in states if state.status == "running"]
    table = Table(box=None, pad_edge=False)
    for name in ("arm", "seed", "epoch", "val top-1", "images/s", ""):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for state in running:
        table.add_row(Text(state.job.label), str(state.job.run.seed), *_cells(state))
    done = sum(state.status in {"finished", "diverged"} for state in states)
    failed = sum(state.status == "failed" for state in states)
    queued = sum(state.status == "queued" for state in states)
    summary = f"{done} of {len(states)} done" + f", {failed} failed" * bool(failed)
    summary += f", {queued} queued" * bool(queued)
    return Group(table, Text(summary, style="dim"))


def _cells(state: RunState) -> tuple[str, str, str, str]:
    progress = state.progress
    epochs = state.job.run.recipe.epochs
    if not progress:
        return f"0/{epochs}", "", "", "starting"
    error = f"{progress['val_top1']:.1%}" if "val_top1" in progress else ""
    if progress["stage"] == "test":
        left = progress.get("seconds_left")
        testing = f"testing, {duration(left)} left" if left else "testing"
        return f"{epochs}/{epochs}", error, "", testing
    return (
        f"{progress['epoch']:.1f}/{epochs}",
        error,
        f"{progress['images_per_second']:,.0f}",
        f"{duration(progress['seconds_left'])} left",
    )


def _line(state: RunState) -> Text:
    text = Text(f"{state.status:<9}", style=_STYLES.get(state.status, ""))
    text.append(f" {state.job.label} seed={state.job.run.seed}", style="default")
    if state.status == "running" and state.progress:
        epoch, error, rate, left = _cells(state)
        facts = (
            f"epoch {epoch}",
            error and f"val top-1 {error}",
            rate and f"{rate} images/s",
            left,
        )
        text.append("  " + ", ".join(filter(None, facts)), style="dim")
    elif state.record is not None and state.status == "finished":
        view = state.record.evaluation
        text.append(
            f"  top-1 {state.record.test_error(view, 1):.2%}, "
            f"top-5 {state.record.test_error(view, 5):.2%} in {duration(state.record.seconds)}",
            style="dim",
        )
    return text
