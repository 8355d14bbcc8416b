"""Starts the runs of a plan where the user wants them: here, or through SLURM."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ablations.config import Job
from ablations.launch.follower import Follower
from ablations.launch.leader import Leader
from ablations.launch.nodes import Place
from ablations.launch.pool import Pool, RunState, warm_up
from ablations.launch.slurm import Queue


def start(
    output: Path,
    jobs: list[Job],
    watch: Callable[[list[RunState]], None],
    deadline: float | None = None,
    team: Leader | None = None,
) -> list[RunState]:
    """Carry out ``jobs``; arguments and errors are those of :class:`Pool` and :class:`Queue`."""
    if jobs[0].trainer.slurm.submit:
        return Queue(output, watch, deadline).run(jobs)
    warm_up()
    return Pool(output, watch, deadline, team).run(jobs)


def follow(place: Place, output: Path) -> int:
    """Train with node 0 what it says; errors and exit code are those of :class:`Follower`."""
    warm_up()
    return Follower(place, output.resolve(), lambda line: print(line, flush=True)).run()


@contextmanager
def lead(place: Place | None, output: Path, say: Callable[[str], None]) -> Iterator[Leader | None]:
    """This machine as node 0 of several, as long as the command goes on; none if alone."""
    if place is None:
        yield None
        return
    with Leader(place, output.resolve(), say) as team:
        yield team
