"""Terminal output of a command: its plan, the progress of its runs, and errors."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text

from ablations.config import Job, Precision, Run, Trainer
from ablations.data.cpu import cpu_flags
from ablations.launch.devices import uses_gpus
from ablations.launch.frozen import torchrun_options
from ablations.launch.plan import Plan, Timing
from ablations.launch.pool import ALIVE, UNFINISHED, RunState
from ablations.launch.slurm import describe
from ablations.record import Record
from ablations.words import count, duration

LINE_SECONDS = 15.0
BAR, SHORTEST = 10, 8  # characters of the progress bar, and of a column with broken words
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

    def excess() -> int:
        return Measurement.get(console, boundless, table).minimum - console.width

    for title in spare:
        if excess() > 0:
            table.columns = [column for column in table.columns if column.header != title]
    if (missing := excess()) > 0:
        first = table.columns[0]
        first.min_width = max(SHORTEST, (first.min_width or 0) - missing)
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
    """Print the folder of the records and, of several, the run ids of each arm by seed."""
    arms: dict[tuple[str, str], list[Run]] = {}
    for job in plan.jobs:
        if job.run.run_id in records:
            arms.setdefault((job.label, job.experiment), []).append(job.run)
    runs = [run for members in arms.values() for run in members]
    if len(runs) == 1:
        show(console, "record", str(plan.output / runs[0].run_id))
    elif runs:
        show(console, "records", f"{plan.output}; run ids, by seed:")
        for (label, experiment), members in arms.items():
            ids = [run.run_id for run in sorted(members, key=lambda run: run.seed)]
            console.print(Text(f"  {label}, {experiment}: {' '.join(ids)}"), soft_wrap=True)


def show_slow_precision(console: Console, jobs: Iterable[Job]) -> None:
    """Print a warning if a job uses bf16 on a CPU that emulates it."""
    flags = cpu_flags()
    if not flags or any("bf16" in flag for flag in flags):
        return
    if any(
        job.run.recipe.precision is Precision.bf16
        and not job.trainer.slurm.submit
        and not uses_gpus(job.trainer)
        for job in jobs
    ):
        show(
            console,
            "warning",
            "recipe.precision=bf16: this CPU has no bf16 instructions (avx512_bf16, amx_bf16); "
            "a step takes several times as long as in float32; next step: use another machine, "
            "or recipe.precision=fp32, which is a different run",
        )


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

    On a terminal it redraws a progress bar for all runs and one for each that is training;
    elsewhere it prints a line when a run starts or ends, and every 15 seconds in between.

    Args:
        console: The console to print on.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
            BarColumn(BAR),
            TextColumn("{task.fields[facts]}", "dim", markup=False, table_column=Column()),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=600,  # seconds over which the speed is averaged
        )
        self.total = self.progress.add_task("", total=1.0, facts="")
        self.bars: dict[str, TaskID] = {}
        self.told: dict[str, tuple[str, str]] = {}
        self.last_line = 0.0

    def __enter__(self) -> "Monitor":
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def update(self, states: list[RunState]) -> None:
        """Display the states; of each run that has just failed, print the end of its log."""
        self._draw(states)
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

    def _draw(self, states: list[RunState]) -> None:
        for state in states:
            run_id, done = state.job.run.run_id, state.progress.get("done", 0.0)
            if state.status == "running":
                bar = self.bars.get(run_id)
                if bar is None:
                    bar = self.progress.add_task(_name(state), total=1.0, facts=_facts(state))
                    self.bars[run_id] = bar
                self.progress.update(bar, completed=done, facts=_facts(state))
            elif run_id in self.bars:
                self.progress.remove_task(self.bars.pop(run_id))
        statuses = Counter(state.status for state in states)
        shares = [s.progress.get("done", 0.0) if s.status in UNFINISHED else 1.0 for s in states]
        task = self.progress.tasks[0]
        facts = [f"{duration(task.elapsed or 0)} so far"]
        if task.time_remaining:
            facts.append(f"about {duration(task.time_remaining)} left")
        facts += [f"waiting {_awaits(state)}" for state in states if state.awaits]
        self.progress.update(
            self.total,
            description=", ".join(f"{n} {status}" for status, n in statuses.items()),
            completed=sum(shares) / len(shares),
            facts=", ".join(facts),
        )


def _name(state: RunState) -> str:
    return f"{state.job.label} seed={state.job.run.seed}"


def _awaits(state: RunState) -> str:
    return f"for a free {state.awaits} (other commands use all)"


def _facts(state: RunState, speed: bool = False) -> str:
    """Describe the progress of a running run, with the training speed if there is room for it."""
    progress = state.progress
    if state.job.fast_dev_run:  # one batch has no meaningful score or time
        return "one batch"
    if not progress:
        return "starting"
    training = progress["stage"] != "test"
    facts = [
        f"epoch {progress['epoch']:.1f}/{state.job.run.recipe.epochs}" if training else "testing"
    ]
    if "val_top1" in progress:
        facts.append(f"val top-1 {progress['val_top1']:.1%}")
    if training and speed:
        facts.append(f"{progress['images_per_second']:,.0f} images/s")
    if (seconds := progress.get("seconds_left")) is not None:
        facts.append(f"{duration(seconds)} left")
    return ", ".join(facts)


def _line(state: RunState) -> Text:
    text = Text(f"{state.status:<9}", style=_STYLES.get(state.status, ""))
    text.append(f" {_name(state)}", style="default")
    if state.awaits:
        text.append(f"  {_awaits(state)}", style="dim")
    if state.status == "running":
        text.append(f"  {_facts(state, speed=True)}", style="dim")
    elif (record := state.record) is not None and state.status == "finished":
        view, top_k = record.evaluation, record.data.top_k
        errors = "".join(f"top-{k} {record.test_error(view, k):.2%}, " for k in top_k)
        trained, tested = duration(record.seconds), duration(record.evaluation_seconds)
        text.append(f"  {errors}trained in {trained}, tested in {tested}", style="dim")
    return text
