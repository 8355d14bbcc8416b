"""Take one claim of a study from its arms to its result."""

from dataclasses import replace

from ablations.claims.gates import gate, gate_jobs, learns
from ablations.claims.measures import (
    SIDES,
    Pairs,
    Values,
    compare,
    compare_top5,
    finite,
    judges_top5,
    measure,
    points,
    runs_of,
    warnings,
)
from ablations.claims.results import ArmResult, ClaimResult
from ablations.claims.runs import Arm, Runs, arms_of
from ablations.claims.schema import Claim
from ablations.claims.tuning import Choice, choose_all
from ablations.config import Job
from ablations.stats.labels import Comparison, Verdict, joint


class ClaimRun:
    """Takes one claim of a study through tuning, gate and looks.

    Args:
        runs: The runs of the study.
        claim: The claim.
        result: The result with the rule of the claim, to which the rest is added.

    Attributes:
        pairs: Number of pairs at the next or the latest look.
        looked: Number of pairs at the latest look; 0 before the first.
        choices: Tuned arms by part and side.
        checked: Whether the gate has been checked with these choices.
    """

    def __init__(self, runs: Runs, claim: Claim, result: ClaimResult) -> None:
        self.runs, self.claim, self.result = runs, claim, result
        self.looks = runs.study.looks_of(claim)
        self.pairs = self.looked = 0
        self.choices: dict[str, dict[str, Choice]] = {}
        self.checked = False

    # Runs

    def arms(self, part: str) -> dict[str, Arm]:
        """Return the overrides of the arms of a part, tuned keys included."""
        arms = dict(zip(SIDES, arms_of(self.claim, part), strict=True))
        return {side: (*arm, *self.choices[part][side].tuned) for side, arm in arms.items()}

    def seeds(self, pair: int) -> range:
        """Return the seeds of a pair: several for an ensemble."""
        size = self.claim.ensemble or 1
        first = self.runs.study.first_seed + pair * size
        return range(first, first + size)

    def jobs(self, pairs: int) -> list[tuple[int, Job]]:
        """Return the runs of the first pairs, each with the number of its pair."""
        return [
            (pair, self.runs.job(arm, seed))
            for part in self.choices
            for pair in range(pairs)
            for seed in self.seeds(pair)
            for arm in self.arms(part).values()
        ]

    def is_trained(self, pairs: int) -> bool:
        """Whether all runs of the first pairs have finished."""
        return all(self.runs.record(job) is not None for _, job in self.jobs(pairs))

    # Tuning and gate

    def choose(self) -> list[Choice]:
        """Choose the tuned values of all arms from existing records; the gate is then unchecked."""
        self.choices, self.checked = choose_all(self.runs, self.claim), False
        return self._all_choices

    @property
    def _all_choices(self) -> list[Choice]:
        return [choice for arms in self.choices.values() for choice in arms.values()]

    @property
    def is_tuned(self) -> bool:
        """Whether the values of all arms are chosen."""
        return bool(self.choices) and not any(choice.missing for choice in self._all_choices)

    def gate_jobs(self) -> list[Job]:
        """Return the runs of the gate, which depend on the tuned values."""
        return gate_jobs(self.runs, self.claim, self.choices)

    def check(self) -> None:
        """Choose the tuned values, and check the gate with them, from existing records."""
        self.choose()
        if self.is_tuned:
            self.checked = all(self.runs.record(job) is not None for job in self.gate_jobs())
            checks = gate(self.runs, self.claim, self.choices)
            self.result = replace(self.result, checks=checks)

    @property
    def obstacle(self) -> str:
        """Failed checks of the gate with their numbers; empty if it passed."""
        failed = [check for check in self.result.checks if not check.passed]
        return "; ".join(map(str, failed))

    # Looks

    @property
    def next_look(self) -> int:
        """Number of pairs at the next look."""
        return next((n for n in self.looks if n > self.pairs), self.looks[-1])

    def take_finished(self) -> None:
        """Check the gate, and take the pairs up to the last look that has all its runs."""
        self.check()
        testable = self.checked and not self.obstacle
        self.pairs = max((n for n in self.looks if testable and self.is_trained(n)), default=0)

    def needs_pairs(self, last: int) -> bool:
        """Return whether to train pairs: testable, not decided, and below ``last`` pairs."""
        if not self.checked or self.obstacle:
            return False
        if self.pairs >= last or (self.pairs and self.result.decided):
            return False
        return self.is_trained(self.pairs)

    def compare(self) -> tuple[list[Comparison], list[Comparison]]:
        """Measure the pairs up to the latest look.

        Returns:
            The comparisons of all parts, and those of the top-5 error.
        """
        study = self.runs.study
        missing, _ = self._missing()
        blank = Comparison(
            claim=self.claim.name,
            differences={},
            margin=self.result.margin,
            looks=self.looks,
            alpha=self.result.alpha,
            missing=missing,
            obstacle=self.obstacle,
        )
        if not self.is_tuned:
            return [blank], []
        top1, top5, texts = [], [], []
        means: dict[str, float | None] = {}
        arms: dict[str, dict[str, ArmResult]] = {}
        self.looked = self.pairs
        for part in self.choices:
            pairs = self._pairs(part)
            values = self._values(part, pairs)
            learned = learns(runs_of(pairs), "paired")
            obstacle = blank.obstacle or ("" if learned.passed else str(learned))
            blank_part = replace(blank, part=part, pool=self._pool(part), obstacle=obstacle)
            top1 += compare(self.claim, study, pairs, values, blank_part)
            if judges_top5(self.claim, study, pairs) and not blank.missing:
                values5 = self._values(part, pairs, 5)
                top5.append(compare_top5(self.claim, study, pairs, values5, blank_part))
            means[part] = points(self.claim, values)
            texts += [_with_part(part, text) for text in warnings(self.claim, pairs, values)]
            arms[part] = self._arm_results(part, pairs, values)
            self.looked = min(self.looked, len(pairs))
        texts += [
            f"{side} the technique, the best value {choice.tuned[0]} is on the edge of its grid"
            for choices in self.choices.values()
            for side, choice in choices.items()
            if choice.at_edge
        ]
        self.result = replace(self.result, points=means, arms=arms, warnings=_once(texts))
        return top1, top5

    def _pairs(self, part: str) -> Pairs:
        """Return the complete pairs, up to the latest look that they reach."""
        found = {}
        for pair in range(self.pairs):
            seeds = self.seeds(pair)
            sides = {
                side: [r for seed in seeds if (r := self.runs.record(self.runs.job(arm, seed)))]
                for side, arm in self.arms(part).items()
            }
            if all(len(members) == len(seeds) for members in sides.values()):
                found[seeds[0]] = sides
        look = max((n for n in self.looks if n <= len(found)), default=0)
        return dict(list(found.items())[:look])

    def _values(self, part: str, pairs: Pairs, k: int = 1) -> Values:
        views = {side: self.runs.view(arm) for side, arm in self.arms(part).items()}
        return {
            side: {
                seed: measure(self.runs, self.claim, side, pair[side], views[side], k)
                for seed, pair in pairs.items()
            }
            for side in SIDES
        }

    def _pool(self, part: str) -> str:
        """Return a key of the baseline arm; empty if both arms read the same runs."""
        if self.claim.reads_one_run:
            return ""
        arm, _ = arms_of(self.claim, part)
        baseline = self.runs.job(arm, self.runs.study.first_seed)
        return f"{baseline.run.run_id} {self.choices[part]['with'].tuned}"

    def _arm_results(self, part: str, pairs: Pairs, values: Values) -> dict[str, ArmResult]:
        found = {}
        for side, arm in self.arms(part).items():
            choice = self.choices[part][side]
            found[side] = ArmResult(
                name=self.runs.job(arm, self.runs.study.first_seed).arm,
                tuned=choice.tuned[0] if choice.tuned else "",
                scores={f"{value:g}": finite(score) for value, score in choice.scores.items()},
                runs={seed: [run.run_id for run in pair[side]] for seed, pair in pairs.items()},
                values={seed: finite(value) for seed, value in values[side].items()},
            )
        return found

    def _missing(self) -> tuple[str, bool]:
        """Return what is missing for a label, empty for nothing, and whether its run failed."""
        if not self.is_tuned:
            what, needed = "a tuning run", [job for c in self._all_choices for job in c.missing]
        elif not self.checked:
            what, needed = "a run of the gate", self.gate_jobs()
        else:
            what, needed = "a run", [job for _, job in self.jobs(self.pairs)]
        absent = {job.run.run_id for job in needed if self.runs.record(job) is None}
        if absent & self.runs.failed:
            return f"{what} failed; next step: read its log, then repeat the command", True
        if not self.is_tuned:
            return "not tuned yet", False
        if not self.checked:
            return "the gate is not checked yet", False
        broken = {pair for pair, job in self.jobs(self.pairs) if job.run.run_id in absent}
        here, first = self.pairs - len(broken), self.looks[0]
        if here >= first:
            return "", False
        if absent and self.runs.out_of_time:
            return "stopped by --budget before the first look", False
        if not self.pairs:
            return "no pairs yet", False
        return f"{here} pairs so far, the first look is at {first}", False

    def judge(self, verdicts: list[Verdict], secondary: list[Verdict]) -> None:
        """Add verdicts to the result.

        The label is empty until there are pairs, or the gate or a run failed.
        """
        _, failed = self._missing()
        known = self.pairs or self.obstacle or failed
        found = [_with_part(v.part, text) for v in verdicts for text in v.warnings]
        self.result = replace(
            self.result,
            verdicts=verdicts,
            secondary=secondary,
            label=joint(verdicts).value if known and verdicts else "",
            warnings=_once([*self.result.warnings, *found]),
        )


def _with_part(part: str, text: str) -> str:
    return f"{part}: {text}" if part else text


def _once(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))
