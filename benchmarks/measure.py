"""Alternating measurements and their ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """Comparison of a workload with one peer.

    Attributes:
        workload: Name of the workload.
        peer: Name of the peer.
        ours: Milliseconds of each round; MiB in rows of memory.
        theirs: The same of the peer.
        less: Whether the ratio is the cost relative to the peer (smaller is better), not the speed.
        note: A remark for the results file; the table shows it only if there are no values.
    """

    workload: str
    peer: str
    ours: list[float]
    theirs: list[float]
    less: bool = False
    note: str = ""

    @property
    def ratio(self) -> list[float]:
        """Ratio of each round: the speed relative to the peer, or with ``less`` the time."""
        rounds = zip(self.ours, self.theirs, strict=True)
        return [a / b if self.less else b / a for a, b in rounds]

    def met(self, goal: float | None) -> bool | None:
        """Return whether the median meets a goal; None without values or a goal."""
        if goal is None or not self.ratio:
            return None
        middle = statistics.median(self.ratio)
        return middle <= goal if self.less else middle >= goal


def alternate(
    steps: Mapping[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Time functions alternately, so that changes of the machine's speed affect all of them.

    If a function returns a float, this is its time in seconds. A warm-up round is not counted.

    Args:
        steps: The functions, by name.
        rounds: Maximum number of counted rounds.
        seconds: Time after which no further round starts; there is at least one.

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
