"""Where the runs of a study are carried out; their records are the only state."""

import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ablations.config import Job
from ablations.launch.display import Monitor, show_waiting
from ablations.launch.leader import Leader
from ablations.launch.mirror import settle_wandb
from ablations.launch.start import start
from ablations.record import Record, load


class Runner:
    """Trains what has no record yet.

    Args:
        output: Folder of the runs.
        console: Where the runs are shown while they go on.
        deadline: Monotonic time after which no run is started; none for no limit.
        team: This node as the first of those that train every run together.
    """

    def __init__(
        self,
        output: Path,
        console: Console,
        deadline: float | None = None,
        team: Leader | None = None,
    ) -> None:
        self.output = output
        self.console = console
        self.deadline = deadline
        self.team = team
        self.records: dict[str, Record] = {}
        self.failed: set[str] = set()

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def record(self, job: Job) -> Record | None:
        """The record of a job; none while it has not finished."""
        run_id = job.run.run_id
        if run_id not in self.records and (found := load(self.output / run_id)):
            self.records[run_id] = found
        return self.records.get(run_id)

    def train(self, jobs: Iterable[Job]) -> None:
        """Carry out all jobs that have no record, side by side, in the order given."""
        left = {job.run.run_id: job for job in jobs if self.record(job) is None}
        left = {run_id: job for run_id, job in left.items() if run_id not in self.failed}
        if not left or self.out_of_time:
            return
        if said := settle_wandb(left.values()):
            self.console.print(f"[bold]wandb[/] {escape(said)}", highlight=False)
        with Monitor(self.console) as monitor:
            states = start(
                self.output, list(left.values()), monitor.update, self.deadline, self.team
            )
        show_waiting(self.console, states)
        for state in states:
            if state.status == "failed":
                self.failed.add(state.job.run.run_id)
