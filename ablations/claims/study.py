"""A study from its plan to its verdicts.

Rates are chosen on tuning seeds, the gate is checked, then pairs train up to the next look of each
claim that can show here and is not decided. Looks are taken together. Records are the only state:
an interrupted study takes the same looks when the command is repeated.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablations.claims.gates import Check, gate, gate_jobs, learns
from ablations.claims.ledger import Ledger, Look, alpha_after, history
from ablations.claims.measures import SIDES, Pairs, finite
from ablations.claims.results import (
    ArmResult,
    ClaimResult,
    StudyResult,
    label_of,
    planned,
    save,
)
from ablations.claims.runs import Runs, arms_of
from ablations.claims.schema import ERRORS, Claim, Study
from ablations.claims.tuning import Choice, choose, missing_jobs, tuned_arms
from ablations.config import NUMERICS, ConfigError, Job
from ablations.record import Record
from ablations.stats.labels import Comparison, Verdict, decide
from ablations.stats.power import chance_to_hold

ALPHA = 0.05


@dataclass
class State:
    """Progress of one claim.

    Attributes:
        claim: The claim.
        result: What is known so far.
        pairs: Pairs up to the next or the latest look.
        choices: Tuned arms by part and side.
        checked: The gate has been checked.
        looked: Pairs at the latest look; 0 before the first.
    """

    claim: Claim
    result: ClaimResult
    pairs: int = 0
    choices: dict[str, dict[str, Choice]] = field(default_factory=dict)
    checked: bool = False
    looked: int = 0

    @property
    def all_choices(self) -> list[Choice]:
        """The tuned arms of all parts."""
        return [choice for part in self.choices.values() for choice in part.values()]

    @property
    def is_tuned(self) -> bool:
        """Whether all rates are chosen."""
        return bool(self.choices) and not any(choice.missing for choice in self.all_choices)


class StudyRun:
    """Carries out one study.

    Args:
        runs: The runs of the study.
        asked: Claims that the command asks for.
        claims: All claims of the study: they share the error rate, asked for or not.
        results: Folder that keeps a folder for each study.
        cap: Most pairs of a claim; None for the plan's.
    """

    def __init__(
        self,
        runs: Runs,
        asked: Sequence[Claim],
        claims: Sequence[Claim],
        results: Path,
        cap: int | None = None,
    ) -> None:
        self.runs, self.study, self.claims, self.cap = runs, runs.study, claims, cap
        self.excluded = {c.name: reason for c in claims if (reason := runs.exclusion(c))}
        runs.admit([claim for claim in asked if claim.name not in self.excluded])
        _check_seeds(self.study, claims)
        cache = runs.given.cache
        self.ledger = Ledger(self.study.name, Path(cache) if cache else None, results)
        # A claim that makes no sense at the experiment costs the others nothing.
        self.families = {
            family: sum(c.family == family and c.name not in self.excluded for c in claims)
            for family in ("paper", "extension")
        } | {"control": 1}
        self.states = [self._planned(claim) for claim in asked]

    def _planned(self, claim: Claim) -> State:
        attempt = self.study.attempt(claim, self._context(claim))
        earlier = self.ledger.earlier(claim.name, self.runs.fingerprint, attempt)
        own = self.ledger.own_looks(claim.name, self.runs.fingerprint, attempt)
        alpha = alpha_after(earlier, ALPHA)
        claims = max(1, self.families[claim.family])
        result = planned(
            claim,
            self.study,
            attempt,
            alpha,
            claims,
            chance=self._chance(claim, alpha / claims),
            excluded=self.excluded.get(claim.name, ""),
            history=history(earlier, own),
        )
        return State(claim, result)

    def _context(self, claim: Claim) -> dict[str, Any]:
        """What a verdict depends on beside the files of study and claim."""
        family = [c for c in self.claims if c.family == claim.family]
        if claim.family == "control":  # judged alone
            family = [claim]
        values = dict(self.runs.given.run.differences)
        values.pop("seed", None)
        return {
            "family": sorted(c.name for c in family if c.name not in self.excluded),
            "run": values,
            "numerics": NUMERICS,
        }

    def _chance(self, claim: Claim, level: float) -> list[float] | None:
        plan = self.study.plan_of(claim)
        sd = plan.planning_sd
        if sd is None and claim.measure.of in ERRORS and not claim.reads_one_run:
            sd = self.study.planning_sd
        if sd is None:
            return None
        margin, _ = self.study.margin_of(claim)
        effect = self.study.effect_of(claim) or 2 * margin
        alike = [
            other
            for other in self.claims
            if (other.family, other.measure.of) == (claim.family, claim.measure.of)
            and not (other.reads_one_run or other.common)
        ]
        pool = len(alike) if claim in alike else 1
        looks = self.study.looks_of(claim)
        return [chance_to_hold(k * effect, sd, margin, looks, level, pool) for k in (1, 2)]

    # What trains

    def tune(self) -> bool:
        """Choose the rate of every arm, training what is missing.

        Returns:
            Whether all rates are chosen.
        """
        while True:
            jobs = missing_jobs(self._choose())
            if not self.runs.train(jobs):
                return not jobs

    def _choose(self) -> list[Choice]:
        for state in self._active():
            for part in state.claim.comparisons:
                arms = tuned_arms(state.claim, arms_of(state.claim, part))
                state.choices[part] = {
                    side: choose(self.runs, state.claim, side, arms[side]) for side in SIDES
                }
        return [choice for state in self._active() for choice in state.all_choices]

    def check(self) -> bool:
        """Check the gate of every claim, training what is missing.

        Returns:
            Whether every gate could be checked.
        """
        tuned = [state for state in self._active() if state.is_tuned]
        jobs = [
            job
            for state in tuned
            for choices in state.choices.values()
            for job in gate_jobs(self.runs, state.claim, choices)
        ]
        self.runs.train(jobs)
        for state in tuned:
            found = {
                part: gate(self.runs, state.claim, choices)
                for part, choices in state.choices.items()
            }
            whole = {part: checks for part, checks in found.items() if checks is not None}
            state.checked = len(whole) == len(found)
            state.result = replace(state.result, checks=_merge(list(whole.values()), list(whole)))
        return all(state.checked for state in self._active())

    def look(self, after: Callable[[StudyResult], None]) -> StudyResult:
        """Train and look until every claim is decided, at its last look, or out of reach.

        Every look is in the ledger before its verdict is in ``verdicts.json``.

        Args:
            after: Called with the study after each look that is not the last.
        """
        self._judge()
        saved = self.save()
        while going := [state for state in self.states if self._goes_on(state)]:
            for state in going:
                state.pairs = self._next(state)
            jobs = [pair_and_job for state in going for pair_and_job in self._jobs(state)]
            # Whole pairs first: what the time leaves can then be judged.
            self.runs.train([job for _, job in sorted(jobs, key=lambda item: item[0])])
            self._judge()
            self.ledger.append(self._looks())
            self._note_history()
            saved = self.save()
            if any(self._goes_on(state) for state in self.states):
                after(saved)
        return saved

    def jobs(self) -> dict[str, list[Job]]:
        """Return the runs of the plan by claim: tuning, gate, and pairs up to the last look.

        The gate's are known once the rates are chosen. The first value of its grid stands in for a
        rate that is not chosen yet: other choices may let arms share fewer runs.
        """
        self._choose()
        return {state.claim.name: self._jobs_to_the_end(state) for state in self._active()}

    def _jobs_to_the_end(self, state: State) -> list[Job]:
        found = [job for choice in state.all_choices for job in choice.jobs]
        for part, choices in state.choices.items():
            found += gate_jobs(self.runs, state.claim, choices)
            for side, arm in zip(SIDES, arms_of(state.claim, part), strict=True):
                rate = choices[side].tuned
                if choices[side].missing:
                    rate = (self._first_rate(state, side),)
                found += [
                    self.runs.job((*arm, *rate), seed)
                    for pair in range(self._last(state))
                    for seed in self._seeds(state, pair)
                ]
        return found

    def _first_rate(self, state: State, side: str) -> str:
        tuning, grid = self.study.tuning, self.study.plan_of(state.claim).grid
        assert tuning is not None, "only tuned arms have a rate"
        own = grid and (grid.with_ if side == "with" else grid.without)
        return f"{tuning.key}={(own or tuning.values)[0]:g}"

    def _active(self) -> list[State]:
        return [state for state in self.states if not state.result.excluded]

    def _last(self, state: State) -> int:
        last = self.study.looks_of(state.claim)[-1]
        if self.cap is None:
            return last
        # A look that was taken stays taken: a smaller cap does not go back behind it.
        key = state.claim.name, self.runs.fingerprint, state.result.attempt
        return min(last, max([self.cap, *self._taken(state, self.ledger.own_looks(*key))]))

    def _taken(self, state: State, looks: list[int]) -> list[int]:
        """Those of the looks whose runs are all here."""
        if not state.is_tuned:
            return []
        before, found = state.pairs, []
        for state.pairs in looks:
            if all(self.runs.record(job) is not None for _, job in self._jobs(state)):
                found.append(state.pairs)
        state.pairs = before
        return found

    def _next(self, state: State) -> int:
        looks = self.study.looks_of(state.claim)
        return min(next((n for n in looks if n > state.pairs), looks[-1]), self._last(state))

    def _goes_on(self, state: State) -> bool:
        if state.result.excluded or not (state.is_tuned and state.checked):
            return False
        if self._obstacle(state):
            return False
        if state.pairs >= self._last(state) or (state.pairs and state.result.decided):
            return False
        return all(self.runs.record(job) is not None for _, job in self._jobs(state))

    def _obstacle(self, state: State) -> str:
        failed = [check for check in state.result.checks if not check.passed]
        return "; ".join(f"{check.part}: {check.text}" for check in failed)

    def _arms(self, state: State, part: str) -> dict[str, tuple[str, ...]]:
        arms = dict(zip(SIDES, arms_of(state.claim, part), strict=True))
        return {side: (*arms[side], *state.choices[part][side].tuned) for side in SIDES}

    def _seeds(self, state: State, pair: int) -> range:
        size = state.claim.ensemble or 1
        first = self.study.first_seed + pair * size
        return range(first, first + size)

    def _jobs(self, state: State) -> list[tuple[int, Job]]:
        """The jobs of a claim's pairs, each with the number of its pair."""
        if not state.is_tuned:
            return []
        return [
            (pair, self.runs.job(arm, seed))
            for part in state.claim.comparisons
            for pair in range(state.pairs)
            for seed in self._seeds(state, pair)
            for arm in self._arms(state, part).values()
        ]

    # What is judged

    def _judge(self) -> None:
        """Judge all claims, each family together and each control by itself."""
        measured = {state.claim.name: self._compare(state) for state in self._active()}
        families: dict[str, list[State]] = {}
        for state in self._active():
            control = state.claim.family == "control"
            families.setdefault(state.claim.name if control else state.claim.family, []).append(
                state
            )
        for members in families.values():
            comparisons = [c for state in members for c in measured[state.claim.name][0]]
            claims = members[0].result.claims_in_family
            verdicts = decide(comparisons, claims)
            top5 = decide([c for state in members for c in measured[state.claim.name][1]], claims)
            for state in members:
                mine = [v for v in verdicts if v.claim == state.claim.name]
                self._note(state, mine, [v for v in top5 if v.claim == state.claim.name])

    def _pairs(self, state: State, part: str) -> Pairs:
        arms = self._arms(state, part)
        records: dict[str, dict[int, list[Record]]] = {side: {} for side in SIDES}
        for side, arm in arms.items():
            for pair in range(state.pairs):
                seeds = self._seeds(state, pair)
                found = [self.runs.record(self.runs.job(arm, seed)) for seed in seeds]
                whole = [record for record in found if record is not None]
                if len(whole) == len(seeds):
                    records[side][seeds[0]] = whole
        # What lies beyond the latest look is not looked at.
        common = [seed for seed in records["with"] if seed in records["without"]]
        looks = self.study.looks_of(state.claim)
        used = common[: max((n for n in looks if n <= len(common)), default=0)]
        records = {side: {s: found[s] for s in used} for side, found in records.items()}
        baseline = self.runs.job(arms_of(state.claim, part)[0], self.study.first_seed)
        pool = f"{baseline.run.run_id} {state.choices[part]['with'].tuned}"
        return Pairs(
            state.claim,
            self.study,
            part,
            records,
            {side: self.runs.view(arm) for side, arm in arms.items()},
            self.runs.output,
            "" if state.claim.reads_one_run else pool,
        )

    def _compare(self, state: State) -> tuple[list[Comparison], list[Comparison]]:
        claim, alpha = state.claim, state.result.alpha
        obstacle, missing = self._obstacle(state), self._missing(state)
        margin, _ = self.study.margin_of(claim)
        if not state.is_tuned:
            empty = Comparison(
                claim.name, {}, margin, self.study.looks_of(claim), missing=missing, alpha=alpha
            )
            return [empty], []
        first: list[Comparison] = []
        second: list[Comparison] = []
        points, warnings, arms = {}, [], {}
        looked = []
        for part in claim.comparisons:
            pairs = self._pairs(state, part)
            looked.append(len(pairs.seeds))
            runs = {
                side: [r for members in pairs.records[side].values() for r in members]
                for side in SIDES
            }
            check = learns(runs)
            blocked = obstacle or ("" if check.passed else f"{check.part}: {check.text}")
            first += pairs.compare(alpha, blocked, missing)
            second += [] if missing else pairs.compare_top5(alpha, blocked)
            points[part] = pairs.points()
            prefix = f"{part}: " if part else ""
            warnings += [prefix + text for text in pairs.warnings()]
            arms[part] = self._arm_results(state, part, pairs)
        edges = [
            f"{side} the technique the best {choice.tuned[0]} is on the edge of its grid"
            for choices in state.choices.values()
            for side, choice in choices.items()
            if choice.at_edge
        ]
        state.looked = min(looked)
        state.result = replace(
            state.result, points=points, arms=arms, warnings=list(dict.fromkeys(warnings + edges))
        )
        return first, second

    def _missing(self, state: State) -> str:
        """Why a claim is incomplete; empty if it is not."""
        needed = [job for choice in state.all_choices for job in choice.missing]
        what = "a tuning run"
        if state.is_tuned and not state.checked:
            what = "a run of the gate"
            for part in state.choices.values():
                needed += gate_jobs(self.runs, state.claim, part)
        elif state.is_tuned:
            what = "a run"
            needed = [job for _, job in self._jobs(state)]
        absent = [job for job in needed if self.runs.record(job) is None]
        if any(job.run.run_id in self.runs.failed for job in absent):
            return f"{what} failed; the same command repeats it"
        if not state.is_tuned:
            return "not tuned yet"
        if not state.checked:
            return "the gate is not checked yet"
        first = self.study.looks_of(state.claim)[0]
        here = state.pairs - len({pair for pair, job in self._jobs(state) if job in absent})
        if here >= first:
            return ""
        if absent and self.runs.out_of_time:
            return "stopped by --budget before the first look"
        return (
            f"{here} pairs so far, the first look is at {first}" if state.pairs else "no pairs yet"
        )

    def _arm_results(self, state: State, part: str, pairs: Pairs) -> dict[str, ArmResult]:
        values = pairs.values()
        found = {}
        for side, arm in self._arms(state, part).items():
            choice = state.choices[part][side]
            found[side] = ArmResult(
                name=self.runs.job(arm, self.study.first_seed).arm,
                tuned=choice.tuned[0] if choice.tuned else "",
                scores={f"{value:g}": finite(score) for value, score in choice.scores.items()},
                runs={
                    seed: [record.run_id for record in members]
                    for seed, members in pairs.records[side].items()
                },
                values={seed: finite(value) for seed, value in values[side].items()},
            )
        return found

    def _note(self, state: State, verdicts: list[Verdict], secondary: list[Verdict]) -> None:
        warnings = [
            (f"{v.part}: " if v.part else "") + text for v in verdicts for text in v.warnings
        ]
        state.result = replace(
            state.result,
            verdicts=verdicts,
            secondary=secondary,
            label=label_of(verdicts) if self._is_known(state) else "",
            warnings=list(dict.fromkeys([*state.result.warnings, *warnings])),
        )

    def _is_known(self, state: State) -> bool:
        """Whether there is anything to say: a look, a failed gate, or a failed run."""
        return bool(state.pairs or self._obstacle(state) or "failed" in self._missing(state))

    # What is kept

    def _looks(self) -> list[Look]:
        return [
            Look(
                claim=state.claim.name,
                data=self.runs.fingerprint,
                study=self.study.name,
                attempt=state.result.attempt,
                pairs=state.looked,
                label=state.result.label,
                estimate=state.result.verdicts[0].estimate,
            )
            for state in self._active()
            if state.looked
        ]

    def _note_history(self) -> None:
        for state in self._active():
            key = state.claim.name, self.runs.fingerprint, state.result.attempt
            looked = history(self.ledger.earlier(*key), self.ledger.own_looks(*key))
            state.result = replace(state.result, history=looked)

    def save(self) -> StudyResult:
        """Write what is known to ``verdicts.json``."""
        return save(self.runs.output, self.result())

    def result(self) -> StudyResult:
        """Return what is known of the study."""
        study = self.study
        fingerprint = self.runs.fingerprint
        baseline = replace(self.runs.given.run, seed=study.first_seed, fingerprint=fingerprint)
        return StudyResult(
            name=study.name,
            title=study.title,
            version=study.version,
            experiment=study.experiment,
            changes=study.changes,
            dataset=self.runs.dataset,
            fingerprint=fingerprint,
            first_seed=study.first_seed,
            tuning_seeds=sorted(_tuning_seeds(study)),
            claims=sorted(study.claims),
            baseline=baseline.run_id,
            commit=_commit(),
            alpha=ALPHA,
            results=[state.result for state in self.states],
        )


def _merge(parts: Sequence[Sequence[Check]], names: Sequence[str]) -> list[Check]:
    """The checks of all parts of a claim; equal ones once."""
    found: dict[tuple[str, str], Check] = {}
    for name, checks in zip(names, parts, strict=True):
        for check in checks:
            shared = check.part in ("trained out", "learns")
            text = check.text if shared or not name else f"{name}: {check.text}"
            found.setdefault((check.part, text), replace(check, text=text))
    return list(found.values())


def _tuning_seeds(study: Study) -> set[int]:
    return {*study.gate_seeds, *(study.tuning.seeds if study.tuning else ())}


def _check_seeds(study: Study, claims: Sequence[Claim]) -> None:
    tuning = _tuning_seeds(study)
    for claim in claims:
        last = study.first_seed + study.looks_of(claim)[-1] * (claim.ensemble or 1)
        if clash := sorted(seed for seed in tuning if study.first_seed <= seed < last):
            raise ConfigError(
                f"study {study.name}: {claim.name} would use seed {clash[0]}, which is kept for "
                "tuning; choose another first_seed"
            )


def _commit() -> str | None:
    """Return the commit of the rules and the study files, with ``-dirty`` after local changes."""
    root = Path(__file__).resolve().parents[2]
    git = ("git", "-C", str(root))
    try:
        head = subprocess.run((*git, "rev-parse", "HEAD"), capture_output=True, text=True)
        changed = subprocess.run(
            (*git, "status", "--porcelain", "--", "ablations", "sweeps", "conf"),
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return None
    commit = head.stdout.strip()
    return commit + "-dirty" * bool(changed.stdout.strip()) if commit else None
