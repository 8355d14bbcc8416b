"""Run a study and its claims from the plan to the verdicts.

Tune on tuning seeds, check the gate, then train pairs up to the next look of each claim that is
testable and not decided. All claims look together. Records are the only state: an interrupted study
takes the same looks when the command is repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ablations.claims.gates import gate, gate_jobs, learns
from ablations.claims.ledger import Ledger, Look
from ablations.claims.measures import Part
from ablations.claims.results import ArmResult, ClaimResult, StudyResult, commit_of_rules, save
from ablations.claims.runs import Runs
from ablations.claims.schema import ERRORS, Claim
from ablations.claims.tuning import Choice, choose
from ablations.config import NUMERICS, Job
from ablations.stats.labels import Comparison, Verdict, decide, finite, joint
from ablations.stats.power import chance_to_hold
from ablations.words import count

ALPHA = 0.05


class ClaimRun:
    """One claim of a study, on its way through tuning, gate and looks.

    Args:
        runs: The runs of the study.
        claim: The claim.
        result: The result with the rule of the claim, to which the rest is added.
        asked: Whether the command asked for the claim; otherwise nothing is trained for it, and its
            finished pairs belong to the pools of the other claims.

    Attributes:
        pairs: Number of pairs at the next or the latest look.
        looked: Number of pairs at the latest look; 0 before the first.
        choices: Tuned arms by part and side.
    """

    def __init__(self, runs: Runs, claim: Claim, result: ClaimResult, asked: bool) -> None:
        self.runs, self.claim, self.result, self.asked = runs, claim, result, asked
        self.looks = runs.study.looks_of(claim)
        self.pairs = self.looked = 0
        self.choices: dict[str, dict[str, Choice]] = {}

    def choose(self) -> list[Choice]:
        """Choose the tuned values of all arms from existing records."""
        self.choices = choose(self.runs, self.claim)
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
        return [
            job for arms in self.choices.values() for job in gate_jobs(self.runs, self.claim, arms)
        ]

    def check(self) -> None:
        """Check the gate with the tuned values, from existing records."""
        checks = gate(self.runs, self.claim, self.choices)
        self.result = replace(self.result, checks=checks)

    @property
    def is_checked(self) -> bool:
        """Whether all runs of the tuning and the gate have finished."""
        return self.is_tuned and self._have_finished(self.gate_jobs())

    @property
    def obstacle(self) -> str:
        """Failed checks of the gate with their numbers; empty if it passed."""
        return "; ".join(str(check) for check in self.result.checks if not check.passed)

    def seeds(self, pair: int) -> range:
        """Return the seeds of a pair: several for an ensemble."""
        size = self.claim.ensemble or 1
        first = self.runs.study.first_seed + pair * size
        return range(first, first + size)

    def pair_jobs(self, pair: int) -> list[Job]:
        """Return the runs of a pair."""
        return [
            self.runs.job(choice.arm, seed)
            for arms in self.choices.values()
            for seed in self.seeds(pair)
            for choice in arms.values()
        ]

    def jobs(self, pairs: int) -> list[Job]:
        """Return all runs: those of the tuning, the gate and the first pairs."""
        return [
            *(job for choice in self._all_choices for job in choice.jobs),
            *self.gate_jobs(),
            *(job for pair in range(pairs) for job in self.pair_jobs(pair)),
        ]

    def is_trained(self, pairs: int) -> bool:
        """Return whether all runs of the first pairs have finished."""
        return all(self._have_finished(self.pair_jobs(pair)) for pair in range(pairs))

    def _have_finished(self, jobs: list[Job]) -> bool:
        return len(self.runs.records(jobs)) == len(jobs)

    def needs_pairs(self, last: int) -> bool:
        """Return whether to train further pairs.

        The claim must be testable, not decided and below ``last`` pairs, and its present pairs must
        have finished.
        """
        if not self.is_checked or self.obstacle:
            return False
        if self.pairs >= last or (self.pairs and self.result.decided):
            return False
        return self.is_trained(self.pairs)

    @property
    def _failed(self) -> bool:
        return any(job.run.run_id in self.runs.failed for job in self.jobs(self.pairs))

    def _missing(self, complete: int) -> str:
        """Return what is missing for a label with this many complete pairs; empty if nothing is."""
        if self._failed:
            return "a run failed; next step: read its log, then repeat the command"
        if not self.is_tuned:
            return "not tuned yet"
        if not self.is_checked:
            return "the gate is not checked yet"
        if complete < self.looks[0]:
            return f"{count(complete, 'pair')} so far, the first look is at {self.looks[0]}"
        return ""

    def compare(self) -> tuple[list[Comparison], list[Comparison]]:
        """Measure the complete pairs up to the latest look that they reach.

        Returns:
            The comparisons of all parts, and those of the top-5 error.
        """
        complete = [n for n in range(self.pairs) if self._have_finished(self.pair_jobs(n))]
        blank = Comparison(
            claim=self.claim.name,
            differences={},
            margin=self.result.margin,
            looks=self.looks,
            alpha=self.result.alpha,
            missing=self._missing(len(complete)),
            obstacle=self.obstacle,
        )
        if not self.is_tuned:
            return [blank], []
        self.looked = max((n for n in self.looks if n <= len(complete)), default=0)
        seeds = [self.seeds(pair) for pair in complete[: self.looked]]
        top1, top5, points, results, warnings = [], [], {}, {}, []
        for name, choices in self.choices.items():
            arms = {side: choice.arm for side, choice in choices.items()}
            part = Part(self.runs, self.claim, arms, seeds)
            firsts = {s: self.runs.job(arm, self.runs.study.first_seed) for s, arm in arms.items()}
            learned = learns(part.members, "paired")
            of_part = replace(
                blank,
                part=name,
                # Comparisons with the same baseline share a pool; a claim whose arms read the same
                # runs has none.
                pool="" if self.claim.reads_one_run else firsts["with"].run.run_id,
                obstacle=blank.obstacle or ("" if learned.passed else str(learned)),
            )
            top1 += part.compare(of_part)
            top5 += part.compare_top5(of_part)
            points[name] = part.points
            results[name] = {
                side: ArmResult(
                    name=firsts[side].arm,
                    tuned=choice.tuned,
                    scores={f"{value:g}": finite(score) for value, score in choice.scores.items()},
                    runs={
                        seed: [run.run_id for run in pair[side]]
                        for seed, pair in part.pairs.items()
                    },
                    values={seed: finite(value) for seed, value in part.values[side].items()},
                )
                for side, choice in choices.items()
            }
            warnings += [_with_part(name, text) for text in part.warnings]
        warnings += [
            f"{side} the technique, the best value {choice.tuned} is on the edge of its grid"
            for choices in self.choices.values()
            for side, choice in choices.items()
            if choice.at_edge
        ]
        self.result = replace(self.result, points=points, arms=results, warnings=warnings)
        return top1, top5

    def judge(self, verdicts: list[Verdict], secondary: list[Verdict]) -> None:
        """Add verdicts to the result.

        The label stays empty before the first pairs, unless the gate or a run has failed.
        """
        known = self.pairs or self.obstacle or self._failed
        texts = [_with_part(v.part, text) for v in verdicts for text in v.warnings]
        self.result = replace(
            self.result,
            verdicts=verdicts,
            secondary=secondary,
            label=joint(verdicts).value if known and verdicts else "",
            warnings=list(dict.fromkeys([*self.result.warnings, *texts])),
        )


def _with_part(part: str, text: str) -> str:
    return f"{part}: {text}" if part else text


class StudyRun:
    """Takes one study from its plan to its verdicts.

    Args:
        runs: The runs of the study.
        asked: Requested claims.
        claims: All claims of the study, which share the error rate, requested or not.
        results: Folder with a folder for each study.
        cap: Maximum number of pairs of a claim; None for the plan's.
    """

    def __init__(
        self,
        runs: Runs,
        asked: Sequence[Claim],
        claims: Sequence[Claim],
        results: Path,
        cap: int | None = None,
    ) -> None:
        self.runs, self.claims, self.cap = runs, claims, cap
        self.excluded = {c.name: reason for c in claims if (reason := runs.exclusion(c))}
        here = [claim for claim in asked if claim.name not in self.excluded]
        others = [c for c in claims if c not in asked and c.name not in self.excluded]
        others = runs.admit(here, others)
        self.study = runs.study
        self.ledger = Ledger(self.study.name, runs.cache, results)
        self.rules = {claim.name: self._rule(claim) for claim in asked}
        self.active = [ClaimRun(runs, claim, self.rules[claim.name], True) for claim in here]
        self.members = [*self.active, *(ClaimRun(runs, c, self._rule(c), False) for c in others)]

    def _rule(self, claim: Claim) -> ClaimResult:
        """Return the result of a claim before its first run, which has only the rule."""
        study, family = self.study, self._family(claim)
        margin, reason = study.margin_of(claim)
        given = {k: v for k, v in self.runs.given.run.differences.items() if k != "seed"}
        context = {"family": family, "run": given, "numerics": NUMERICS}
        attempt = study.attempt(claim, context)
        key = claim.name, self.runs.fingerprint, attempt
        rule = ClaimResult(
            claim=claim.name,
            statement=claim.statement,
            section=claim.section,
            family=claim.family,
            technique=claim.technique,
            measure=claim.measure.model_dump(mode="json"),
            paper=claim.paper.model_dump(mode="json"),
            confounds=dict(claim.confounds),
            at_paper=study.at_paper(claim),
            scale=study.scale_of(claim),
            margin=margin,
            margin_reason=reason,
            effect=study.effect_of(claim),
            effect5=study.effect_of(claim, 5),
            target=study.target_of(claim),
            looks=list(study.looks_of(claim)),
            attempt=attempt,
            rule=study.rule_of(claim),
            alpha=self.ledger.alpha(*key, ALPHA),
            claims_in_family=max(1, len(family)),
            excluded=self.excluded.get(claim.name, ""),
            history=self.ledger.history(*key),
        )
        return replace(rule, chance=self._chance(claim, rule))

    def _family(self, claim: Claim) -> list[str]:
        """Return the names of the claims that share the error rate with a claim.

        A control is judged alone. Claims that do not apply at the experiment do not count.
        """
        control = claim.family == "control"
        alike = [claim] if control else [c for c in self.claims if c.family == claim.family]
        return sorted(other.name for other in alike if other.name not in self.excluded)

    def _chance(self, claim: Claim, rule: ClaimResult) -> list[float] | None:
        """Return P(holds) of a claim, see :attr:`ClaimResult.chance`."""
        study = self.study
        sd = study.plan_of(claim).planning_sd
        if sd is None and claim.measure.of in ERRORS and not claim.reads_one_run:
            sd = study.planning_sd
        if sd is None:
            return None
        effect = rule.effect or 2 * rule.margin
        comparable = [
            other
            for other in self.claims
            if (other.family, other.measure.of) == (claim.family, claim.measure.of)
            and not (other.reads_one_run or other.common)
        ]
        pool = len(comparable) if claim in comparable else 1  # claims that share its baseline
        level, looks = rule.alpha / rule.claims_in_family, study.looks_of(claim)
        parts = len(claim.comparisons)
        return [
            chance_to_hold(k * effect, sd, rule.margin, looks, level, pool, parts) for k in (1, 2)
        ]

    def jobs(self) -> dict[str, list[Job]]:
        """Return the runs of the plan by claim: tuning, gate, and pairs up to the last look.

        Before tuning, the runs of the gate and the pairs are planned with the first value of the
        grid; with other values, arms may share fewer runs.
        """
        for member in self.active:
            member.choose()
        return {member.claim.name: member.jobs(self._last(member)) for member in self.active}

    # Training and looks

    def train(self, after: Callable[[StudyResult], None]) -> StudyResult:
        """Train and judge all claims, as far as the time and their runs allow.

        Args:
            after: Called with the result after each look but the last.
        """
        self._save()  # writes the rules before the first run
        self._tune()
        self._check()
        return self._look(after)

    def _tune(self) -> None:
        """Tune every arm, and train the missing runs, in the order of their seeds."""
        while True:
            choices = {member: member.choose() for member in self.members}
            missing = [
                job for member in self.active for each in choices[member] for job in each.missing
            ]
            if not self.runs.train("tuning", sorted(missing, key=lambda job: job.run.seed)):
                return

    def _check(self) -> None:
        """Check the gate of every tuned claim, and train the missing runs."""
        tuned = [member for member in self.members if member.is_tuned]
        jobs = [job for member in tuned if member.asked for job in member.gate_jobs()]
        self.runs.train("gate", jobs)
        for member in tuned:
            member.check()

    def _look(self, after: Callable[[StudyResult], None]) -> StudyResult:
        """Train and look until every claim is decided, at its last look, or cannot proceed.

        Each look is written to the ledger before its verdict is written to ``verdicts.json``.
        """
        self._judge()
        saved = self._save()
        while going := self._going():
            for member in going:
                look = next((n for n in member.looks if n > member.pairs), member.looks[-1])
                member.pairs = min(look, self._last(member))
            # Complete pairs first, so that they can be judged if the time runs out.
            jobs = [
                job
                for pair in range(max(member.pairs for member in going))
                for member in going
                if pair < member.pairs
                for job in member.pair_jobs(pair)
            ]
            self.runs.train("pairs", jobs)
            self._judge()
            self._enter_looks()
            saved = self._save()
            if any(member.asked for member in self._going()):
                after(saved)
        return saved

    def _going(self) -> list[ClaimRun]:
        """Return the claims that need further pairs."""
        return [member for member in self.members if member.needs_pairs(self._last(member))]

    def _last(self, member: ClaimRun) -> int:
        """Return the maximum number of pairs of a claim.

        For a requested claim this is the plan's last look or, if smaller, the cap; for another
        claim, its last look whose pairs have finished.
        """
        if not member.asked:
            return max(filter(member.is_trained, member.looks), default=0)
        if self.cap is None:
            return member.looks[-1]
        # A smaller cap does not undo a look that was taken.
        taken = self.ledger.own_looks(*self._key(member)) if member.is_tuned else []
        return min(member.looks[-1], max([self.cap, *filter(member.is_trained, taken)]))

    def _key(self, member: ClaimRun) -> tuple[str, str, str]:
        return member.claim.name, self.runs.fingerprint, member.result.attempt

    def _judge(self) -> None:
        """Judge all claims, each family together and each control alone."""
        families: dict[str, list[ClaimRun]] = {}
        for member in self.members:
            claim = member.claim
            family = claim.name if claim.family == "control" else claim.family
            families.setdefault(family, []).append(member)
        for members in families.values():
            claims = members[0].result.claims_in_family
            compared = [member.compare() for member in members]
            top1, top5 = (decide([*chain(*lists)], claims) for lists in zip(*compared, strict=True))
            for member in members:
                name = member.claim.name
                member.judge(
                    [verdict for verdict in top1 if verdict.claim == name],
                    [verdict for verdict in top5 if verdict.claim == name],
                )

    def _enter_looks(self) -> None:
        """Append the latest looks to the ledger, and update the history of each claim."""
        looks = []
        for member in self.active:
            if member.looked:
                claim, data, attempt = self._key(member)
                label, estimate = member.result.label, member.result.verdicts[0].estimate
                name = self.study.name
                looks.append(Look(claim, data, name, attempt, member.looked, label, estimate))
        self.ledger.append(looks)
        for member in self.active:
            looked = self.ledger.history(*self._key(member))
            member.result = replace(member.result, history=looked)

    # Results

    def _save(self) -> StudyResult:
        """Write the present result to ``verdicts.json``."""
        return save(self.runs.output, self.result())

    def result(self) -> StudyResult:
        """Return the present result of the study."""
        study, fingerprint = self.study, self.runs.fingerprint
        baseline = replace(self.runs.given.run, seed=study.first_seed, fingerprint=fingerprint)
        found = self.rules | {member.claim.name: member.result for member in self.active}
        return StudyResult(
            name=study.name,
            title=study.title,
            version=study.version,
            experiment=study.experiment,
            changes=study.changes,
            dataset=self.runs.dataset,
            fingerprint=fingerprint,
            first_seed=study.first_seed,
            tuning_seeds=sorted(study.tuning_seeds),
            claims=sorted(study.claims),
            baseline=baseline.run_id,
            commit=commit_of_rules(),
            alpha=ALPHA,
            results=list(found.values()),
        )
