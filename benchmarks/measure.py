"""Alternating measurements and the ratios they give."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Ours beside one peer.

    Attributes:
        workload: What was done.
        peer: Beside what.
        ratio: Of each round: above 1 where ours is faster (``less`` is false), or ours as a
            multiple of the peer's cost (``less`` is true).
        ours: Milliseconds of each round.
        theirs: Milliseconds of each round.
        goal: What the median of the ratios should reach (or not exceed); none states no goal.
        less: Whether a smaller ratio is better.
        note: Why there are no figures, or what to know about them.
    """

    workload: str
    peer: str
    ratio: list[float]
    ours: list[float]
    theirs: list[float]
    goal: float | None = None
    less: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; none without figures or a goal."""
        if self.goal is None or not self.ratio:
            return None
        middle = statistics.median(self.ratio)
        return middle <= self.goal if self.less else middle >= self.goal


def alternate(
    steps: Mapping[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Time functions in turn, so that a machine whose speed drifts slows all of them.

    A function that returns a number states its own time in seconds. The first round warms up.

    Args:
        steps: The functions, by name.
        rounds: Rounds that count, at most.
        seconds: No round but the first that counts starts after this.

    Returns:
        Milliseconds of each round, by name.
    """
    found: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    began = time.perf_counter()
    for round_ in range(rounds):
        if round_ and time.perf_counter() - began > seconds:
            break
        for name, step in steps.items():
            start = time.perf_counter()
            stated = step()
            taken = stated if isinstance(stated, float) else time.perf_counter() - start
            found[name].append(taken * 1e3)
    return found


def pair(
    workload: str,
    peer: str,
    ours: list[float],
    theirs: list[float],
    goal: float | None = None,
    *,
    less: bool = False,
    note: str = "",
) -> Row:
    """A row from the milliseconds of the same rounds."""
    ratio = [a / b if less else b / a for a, b in zip(ours, theirs, strict=True)]
    return Row(workload, peer, ratio, ours, theirs, goal, less, note)


def missing(workload: str, peer: str) -> Row:
    """The row of a peer that is not installed."""
    return Row(workload, peer, [], [], [], note="not installed")


def spread(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile.

    Example:
        >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
        (2.0, 3.0, 4.0)
    """
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
