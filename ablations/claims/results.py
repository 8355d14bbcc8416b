"""Read and write ``verdicts.json``: the rule of each claim, and its verdicts."""

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from math import exp
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import TypeAdapter

from ablations.claims.gates import Check
from ablations.config import ConfigError
from ablations.files import write_atomically
from ablations.stats.labels import Label, Verdict
from ablations.training.environment import commit_of

VERDICTS = "verdicts.json"
LAYOUT = 2


@dataclass(frozen=True)
class ArmResult:
    """One arm of a comparison.

    Attributes:
        name: Its difference from the study's baseline, tuned keys included.
        tuned: Override of the tuned key; empty if the study tunes nothing.
        scores: Mean score of each value tried; smaller is better.
        runs: Run ids by first seed of the pair: one, or the members of an ensemble.
        values: The measure by first seed of the pair; None for a target that was not reached.
    """

    name: str
    tuned: str = ""
    scores: dict[str, float | None] = field(default_factory=dict)
    runs: dict[int, list[str]] = field(default_factory=dict)
    values: dict[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimResult:
    """The rule of a claim, fixed before the first run, and its verdicts after each look.

    Attributes:
        claim: Name of the claim.
        statement: The claim in our words.
        section: Section of the paper, or ``extension`` or ``control``.
        family: ``paper``, ``extension`` or ``control``.
        technique: The key in which the arms differ.
        measure: :class:`ablations.claims.schema.Measure` in plain values.
        paper: :class:`ablations.claims.schema.Paper` in plain values.
        confounds: Other explanations of the paper's result or of ours, by name.
        at_paper: Whether data and network are the paper's own.
        scale: See :meth:`ablations.claims.schema.Study.scale_of`.
        margin: Smallest effect that matters, on the scale of the analysis.
        margin_reason: Reason for the margin.
        effect: The paper's effect on that scale; None if it gives none.
        effect5: The same for the top-5 error.
        target: Error or loss that ends the measured time.
        looks: Planned numbers of pairs.
        attempt: Hash of the rule.
        rule: All settings that could change the verdict.
        alpha: Error rate of the family, halved for each earlier study of the claim on these data.
        claims_in_family: Number of claims that share it.
        chance: Probability of the label ``holds`` at the paper's effect (or twice the margin) and
            at twice that effect; None if no standard deviation is known. For a claim on the
            generalization gap it ignores the part on the test error.
        excluded: Why the claim does not apply at the experiment; empty if it does.
        label: Label of the claim, from those of its parts; empty before the first pairs, unless the
            gate or a run has failed.
        checks: Checks of the gate.
        verdicts: One for each part.
        secondary: Verdicts on the top-5 error, outside the family.
        points: Mean difference of the errors by part, as fractions.
        arms: Arms by part, ``with`` and ``without`` the technique.
        history: Looks so far, of this and of earlier studies.
        warnings: Warnings for readers.
    """

    claim: str
    statement: str
    section: str
    family: Literal["paper", "extension", "control"]
    technique: str
    measure: dict[str, Any]
    paper: dict[str, Any]
    confounds: dict[str, str]
    at_paper: bool
    scale: Literal["points", "ratio", "relative", "plain"]
    margin: float
    margin_reason: str
    effect: float | None
    effect5: float | None
    target: float | None
    looks: list[int]
    attempt: str
    rule: dict[str, Any]
    alpha: float
    claims_in_family: int
    chance: list[float] | None = None
    excluded: str = ""
    label: str = ""
    checks: list[Check] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    secondary: list[Verdict] = field(default_factory=list)
    points: dict[str, float | None] = field(default_factory=dict)
    arms: dict[str, dict[str, ArmResult]] = field(default_factory=dict)
    history: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def decided(self) -> bool:
        """Whether the claim needs no further pairs."""
        if self.excluded or self.label == Label.opposite:
            return True
        return bool(self.verdicts) and all(verdict.decided for verdict in self.verdicts)

    @property
    def n(self) -> int:
        """Number of pairs of the verdict."""
        return min((verdict.n for verdict in self.verdicts), default=0)

    @property
    def word(self) -> str:
        """The label for readers; for a control, ``as expected`` or ``false alarm`` if decided."""
        if not self.label:
            return "excluded" if self.excluded else "planned"
        if self.family == "control":
            if self.label in (Label.holds, Label.direction, Label.opposite):
                return "false alarm"
            if self.label == Label.no_effect:
                return "as expected"
        return Label(self.label).word(self.at_paper)

    def to_reader(self, effect: float | None, part: str = "") -> float | None:
        """Convert an effect from the scale of the analysis to the unit for readers.

        Args:
            effect: Log ratio, or difference; None stays None.
            part: Part of the claim: the test error of a gap claim is a ratio.

        Returns:
            A ratio, or 100 times a difference, in the unit of :meth:`unit_of`.
        """
        if effect is None:
            return None
        return exp(effect) if self.unit_of(part) == "×" else 100 * effect

    def unit_of(self, part: str = "") -> str:
        """Return the unit of a part for readers: ``×``, ``points`` or ``% of the test error``."""
        if self.scale == "ratio" or (self.scale == "relative" and part.endswith("test error")):
            return "×"
        return "% of the test error" if self.scale == "relative" else "points"


@dataclass(frozen=True)
class StudyResult:
    """All claims of one study.

    Attributes:
        name: Name of the study.
        title: Title in tables and pages.
        version: Version of the study file.
        experiment: Name of the experiment.
        changes: Overrides of all runs.
        dataset: Name of the data in tables.
        fingerprint: Fingerprint of the data.
        first_seed: Seed of the first pair.
        tuning_seeds: Seeds that no verdict uses.
        claims: Names of all its claims.
        baseline: Run id of the study's baseline at the first seed.
        commit: Commit of the rules and the study file when the study was first saved, with
            ``-dirty`` after local changes; None outside a clone.
        alpha: Error rate of a family.
        results: One for each claim.
    """

    name: str
    title: str
    version: int
    experiment: str
    changes: list[str]
    dataset: str
    fingerprint: str
    first_seed: int
    tuning_seeds: list[int]
    claims: list[str]
    baseline: str
    commit: str | None
    alpha: float
    results: list[ClaimResult]


_STUDY = TypeAdapter(StudyResult)


@cache
def commit_of_rules() -> str | None:
    """Return the commit of the rules and the study files; None outside a clone.

    It ends in ``-dirty`` after local changes.
    """
    found = commit_of("ablations", "sweeps", "conf")
    return found["commit"] and found["commit"] + "-dirty" * found["dirty"]


def load(output: Path) -> list[StudyResult]:
    """Read the ``verdicts.json`` of a folder; empty if there is none.

    Raises:
        ConfigError: The file is damaged or has another layout.
    """
    path = output / VERDICTS
    try:
        content = json.loads(path.read_bytes())
        if content.get("layout") != LAYOUT:
            raise ValueError(f"layout {content.get('layout')}, this version reads {LAYOUT}")
        return [_STUDY.validate_python(study) for study in content["studies"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); next step: move it away and "
            "repeat the command, which writes it again from the records"
        ) from None


def save(output: Path, study: StudyResult) -> StudyResult:
    """Write a study to the ``verdicts.json`` of a folder, atomically.

    For the same version and data, claims that this command did not request are kept, and so is a
    verdict under the same rule until a later look replaces it.

    Returns:
        The study as written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / f".{VERDICTS}.lock"):
        studies = {entry.name: entry for entry in load(output)}
        before = studies.get(study.name)
        kept: dict[str, ClaimResult] = {}
        if before and _head(before) == _head(study):
            study = replace(study, commit=before.commit)  # that of the first run
            kept = {r.claim: r for r in before.results if r.claim in study.claims}
        for result in study.results:
            old = kept.setdefault(result.claim, result)
            # Under the same rule, keep a later look, and keep a label rather than an empty one.
            later = old.n > result.n or (old.label and not result.label)
            if old.attempt != result.attempt or not later:
                kept[result.claim] = result
        study = replace(study, results=[kept[name] for name in sorted(kept)])
        studies[study.name] = study
        content = {"layout": LAYOUT, "studies": [asdict(entry) for entry in studies.values()]}
        write_atomically(output / VERDICTS, json.dumps(content, indent=1, allow_nan=False))
    return study


def _head(study: StudyResult) -> tuple[Any, ...]:
    return study.version, study.experiment, study.changes, study.first_seed, study.fingerprint
