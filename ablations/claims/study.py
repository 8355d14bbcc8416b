"""Run a study from its plan to its verdicts.

Tune on tuning seeds, check the gate, then train pairs up to the next look of each claim that is
testable and not decided. All claims look together. Records are the only state: an interrupted study
takes the same looks when the command is repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ablations.claims.claim_run import ClaimRun
from ablations.claims.ledger import Ledger, Look, alpha_after, history
from ablations.claims.results import ClaimResult, StudyResult, commit_of_rules, save
from ablations.claims.runs import Runs
from ablations.claims.schema import ERRORS, Claim
from ablations.claims.tuning import missing_jobs
from ablations.config import NUMERICS, Job
from ablations.stats.labels import decide
from ablations.stats.power import chance_to_hold

ALPHA = 0.05


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
        self.rules = {claim.name: self._rule_with_power(claim) for claim in asked}
        self.active = [ClaimRun(runs, claim, self.rules[claim.name]) for claim in here]
        # Their finished pairs belong to the pools of the requested claims.
        self.others = [ClaimRun(runs, claim, self._rule(claim)) for claim in others]

    # Fixed before the first run

    def _rule(self, claim: Claim) -> ClaimResult:
        """Return the result of a claim before its first run, which has only the rule."""
        study, family = self.study, self._family(claim)
        margin, reason = study.margin_of(claim)
        given = {k: v for k, v in self.runs.given.run.differences.items() if k != "seed"}
        context = {"family": family, "run": given, "numerics": NUMERICS}
        attempt = study.attempt(claim, context)
        key = claim.name, self.runs.fingerprint, attempt
        earlier = self.ledger.earlier(*key)
        alpha, shared = alpha_after(earlier, ALPHA), max(1, len(family))
        return ClaimResult(
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
            alpha=alpha,
            claims_in_family=shared,
            excluded=self.excluded.get(claim.name, ""),
            history=history(earlier, self.ledger.own_looks(*key)),
        )

    def _family(self, claim: Claim) -> list[str]:
        """Return the names of the claims that share the error rate with a claim.

        Claims that do not apply at the experiment do not count.
        """
        alike = [other for other in self.claims if other.family == claim.family]
        if claim.family == "control":  # judged alone
            alike = [claim]
        return sorted(other.name for other in alike if other.name not in self.excluded)

    def _rule_with_power(self, claim: Claim) -> ClaimResult:
        """Return the rule of a claim with P(holds), see :attr:`ClaimResult.chance`."""
        study, rule = self.study, self._rule(claim)
        sd = study.plan_of(claim).planning_sd
        if sd is None and claim.measure.of in ERRORS and not claim.reads_one_run:
            sd = study.planning_sd
        if sd is None:
            return rule
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
        chance = [
            chance_to_hold(k * effect, sd, rule.margin, looks, level, pool, parts) for k in (1, 2)
        ]
        return replace(rule, chance=chance)

    def jobs(self) -> dict[str, list[Job]]:
        """Return the runs of the plan by claim: tuning, gate, and pairs up to the last look.

        Runs of the gate are known only after tuning. Until then, pairs are planned with the first
        value of the grid; with other values, arms may share fewer runs.
        """
        return {
            member.claim.name: [
                *(job for choice in member.choose() for job in choice.jobs),
                *member.gate_jobs(),
                *(job for _, job in member.jobs(self._last(member))),
            ]
            for member in self.active
        }

    # Training and looks

    def tune(self) -> None:
        """Tune every arm, and train the missing runs."""
        while self.runs.train(
            "tuning", missing_jobs(chain(*(member.choose() for member in self.active)))
        ):
            pass

    def check(self) -> None:
        """Check the gate of every tuned claim, and train the missing runs."""
        tuned = [member for member in self.active if member.is_tuned]
        self.runs.train("gate", chain(*(member.gate_jobs() for member in tuned)))
        for member in tuned:
            member.check()

    def look(self, after: Callable[[StudyResult], None]) -> StudyResult:
        """Train and look until every claim is decided, at its last look, or cannot proceed.

        Each look is written to the ledger before its verdict is written to ``verdicts.json``.

        Args:
            after: Called with the result after each look but the last.
        """
        self._judge()
        saved = self.save()
        while going := [member for member in self.active if member.needs_pairs(self._last(member))]:
            for member in going:
                member.pairs = min(member.next_look, self._last(member))
            jobs = chain(*(member.jobs(member.pairs) for member in going))
            # Complete pairs first, so that they can be judged if the time runs out.
            self.runs.train("pairs", [job for _, job in sorted(jobs, key=lambda item: item[0])])
            self._judge()
            self._enter_looks()
            saved = self.save()
            if any(member.needs_pairs(self._last(member)) for member in self.active):
                after(saved)
        return saved

    def _last(self, member: ClaimRun) -> int:
        """Return the maximum number of pairs of a claim: the plan's, or the cap."""
        if self.cap is None:
            return member.looks[-1]
        # A smaller cap does not undo a look that was taken.
        taken = self.ledger.own_looks(*self._key(member)) if member.is_tuned else []
        return min(member.looks[-1], max([self.cap, *filter(member.is_trained, taken)]))

    def _key(self, member: ClaimRun) -> tuple[str, str, str]:
        return member.claim.name, self.runs.fingerprint, member.result.attempt

    def _judge(self) -> None:
        """Judge all claims, each family together and each control alone."""
        for member in self.others:
            member.take_finished()
        everyone = [*self.active, *self.others]
        measured = {member.claim.name: member.compare() for member in everyone}
        families: dict[str, list[ClaimRun]] = {}
        for member in everyone:
            claim = member.claim
            family = claim.name if claim.family == "control" else claim.family
            families.setdefault(family, []).append(member)
        for members in families.values():
            claims = members[0].result.claims_in_family
            top1, top5 = (
                decide([c for member in members for c in measured[member.claim.name][i]], claims)
                for i in (0, 1)
            )
            for member in members:
                name = member.claim.name
                own = [verdict for verdict in top1 if verdict.claim == name]
                member.judge(own, [verdict for verdict in top5 if verdict.claim == name])

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
            key = self._key(member)
            looked = history(self.ledger.earlier(*key), self.ledger.own_looks(*key))
            member.result = replace(member.result, history=looked)

    # Results

    def save(self) -> StudyResult:
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
