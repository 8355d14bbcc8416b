"""Runs that differ in nothing but the seed."""

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
        """Test error of each run in percent, guessing for a diverged one."""
        return [100 * run.test_error(view, k) for run in self.runs]

    @property
    def color_differences(self) -> list[float]:
        """Points between the mean colours of the towers in each finished run (§6.1)."""
        return [100 * abs(run.colors[0] - run.colors[1]) for run in self.finished]

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Training and test error of each finished run in percent, both in the centre view."""
        return [
            (100 * run.train.top1, 100 * run.test["center"].top1)
            for run in self.finished
            if run.train and "center" in run.test
        ]


def arms_of(runs: list[Record]) -> list[ArmOfRuns]:
    """Group runs by arm, the unchanged experiment first."""
    arms: dict[str, list[Record]] = {}
    for run in sorted(runs, key=lambda run: (run.arm != "baseline", run.arm, run.seed, run.run_id)):
        arms.setdefault(run.arm, []).append(run)
    return [ArmOfRuns(name, members) for name, members in arms.items()]


def mean_sd(values: list[float], decimals: int = 2) -> str:
    """``12.34 ± 0.56``; the mean alone for one value, a dash for none.

    Examples:
        >>> mean_sd([1.0, 2.0, 3.0]), mean_sd([1.0]), mean_sd([])
        ('2.00 ± 1.00', '1.00', '–')
    """
    if not values:
        return "–"
    text = words.number(mean(values), decimals)
    return text if len(values) < 2 else f"{text} ± {words.number(stdev(values), decimals)}"
