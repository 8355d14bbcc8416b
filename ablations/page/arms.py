"""Runs that differ in nothing but the seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from ablations.page import words
from ablations.record import Record


@dataclass(frozen=True)
class ArmOfRuns:
    """All runs of an experiment that differ in nothing but the seed.

    Attributes:
        name: What sets them apart from the experiment.
        runs: Their records by seed; replicates share a seed.
    """

    name: str
    runs: list[Record]

    @property
    def finished(self) -> list[Record]:
        """Those that did not diverge."""
        return [run for run in self.runs if run.status == "finished"]

    def errors(self, view: str, k: int) -> list[float]:
        """Test error of each run in percent; chance for a diverged one."""
        return [100 * run.test_error(view, k) for run in self.runs]

    @property
    def color_differences(self) -> list[float]:
        """Points between the mean colors of the towers in each finished run (§6.1)."""
        return [100 * abs(run.colors[0] - run.colors[1]) for run in self.finished]

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Training and test error of each finished run in percent, both in the center view."""
        return [
            (100 * run.train.top1, 100 * run.test["center"].top1)
            for run in self.finished
            if run.train and "center" in run.test
        ]


def arms_of(runs: list[Record], names: Mapping[str, str] | None = None) -> list[ArmOfRuns]:
    """Group runs by arm, those with the fewest differences from the baseline first.

    Args:
        runs: The runs.
        names: Names of arms by run id, instead of the records' own.
    """
    named = [((names or {}).get(run.run_id, run.arm), run) for run in runs]
    arms: dict[str, list[Record]] = {}
    for name, run in sorted(
        named, key=lambda it: (it[0].count("="), it[0], it[1].seed, it[1].run_id)
    ):
        arms.setdefault(name, []).append(run)
    return [ArmOfRuns(name, members) for name, members in arms.items()]


def mean_sd(values: list[float], decimals: int = 2) -> str:
    """Write mean ± standard deviation; the mean alone for one value, a dash for none.

    Examples:
        >>> mean_sd([1.0, 2.0, 3.0]), mean_sd([1.0]), mean_sd([])
        ('2.00 ± 1.00', '1.00', '–')
    """
    if not values:
        return "–"
    text = words.number(mean(values), decimals)
    return text if len(values) < 2 else f"{text} ± {words.number(stdev(values), decimals)}"
