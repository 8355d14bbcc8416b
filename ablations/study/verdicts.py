"""``verdicts.json``: the rules, written before the first run, and what they came to.

One file for each folder of runs, beside them. A study is an experiment with the changes that a command
made to it; commands replace their own comparisons and keep the others.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from ablations.config import ConfigError
from ablations.files import write_atomically

VERDICTS = "verdicts.json"
LAYOUT = 1

Status = Literal["planned", "decided", "undecided", "unfinished", "incomplete", "excluded"]


@dataclass(frozen=True)
class ArmResult:
    """One arm of a comparison.

    Attributes:
        label: Its difference from the experiment, tuned keys included.
        tuned: Chosen values of the tuned keys, as overrides.
        tuning: Mean score of each candidate, by its overrides; smaller is better.
        runs: Run ids by seed of the pair: one, or the members of an ensemble.
        values: The measure by seed of the pair; none for a diverged run or a target not reached.
    """

    label: str
    tuned: list[str] = field(default_factory=list)
    tuning: dict[str, float | None] = field(default_factory=dict)
    runs: dict[int, list[str]] = field(default_factory=dict)
    values: dict[int, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One comparison of one claim, at one experiment.

    Attributes:
        claim: Name of the claim, its file in ``sweeps/``.
        part: Name of the comparison where the claim makes several, otherwise empty.
        statement: The claim in our words.
        section: Of the paper, or ``extension`` or ``control``.
        technique: The key that tells the arms apart.
        kind: ``difference``, ``ratio``, ``gap`` or ``time_to_target``.
        family: ``confirmatory``, ``exploratory`` or ``control``.
        paper: What the paper says, its effect and its data; ``comparable`` says whether that effect
            belongs to this experiment, or is shown for orientation only.
        confounds: What else might explain either figure.
        status: ``planned`` before its first look; ``decided``; ``undecided`` after its last look;
            ``unfinished`` when the time was up; ``incomplete`` when a run failed; ``excluded``.
        reason: Why it is excluded or incomplete.
        rule: How it is measured and decided, see :func:`ablations.study.results.described`.
        rule_hash: Twelve hexadecimal digits of the rule.
        earlier_rules: Other rules that this comparison had in this file, oldest first.
        adjusted_with: Comparisons of its family, which share one error rate.
        arms: ``with`` and ``without``, and their references if any.
        verdict: :meth:`ablations.stats.verdict.Verdict.to_dict`; none before the first look.
        notes: What a reader should know besides the verdict's own warnings.
    """

    claim: str
    part: str
    statement: str
    section: str
    technique: str
    kind: str
    family: str
    paper: dict[str, Any]
    confounds: list[str]
    status: Status
    reason: str = ""
    rule: dict[str, Any] = field(default_factory=dict)
    rule_hash: str = ""
    earlier_rules: list[dict[str, Any]] = field(default_factory=list)
    adjusted_with: list[str] = field(default_factory=list)
    arms: dict[str, ArmResult] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the claim, and of the part."""
        return f"{self.claim}[{self.part}]" if self.part else self.claim

    @property
    def label(self) -> str:
        """The verdict in a word or two; empty before the first look.

        A control has nothing to reproduce: it is ``negligible`` or ``undecided``, as it should be,
        or a ``false alarm``.
        """
        if self.verdict is None:
            return ""
        label = self.verdict["label"]
        if self.family != "control":
            return label
        expected = {"contradicted (negligible)": "negligible", "inconclusive": "undecided"}
        return expected.get(label, "false alarm")


@dataclass(frozen=True)
class StudyResult:
    """All comparisons of one experiment.

    Attributes:
        experiment: Name of the experiment.
        changes: What the command changed in it, hardware and places apart; ``paper`` for nothing.
        baseline: Run id of the experiment with these changes, at the seed of the first pair.
        first_seed: Seed of the first pair.
        tuning_seeds: Seeds that no verdict has seen.
        dataset: What tables call the data.
        fingerprint: Hash of the data.
        alpha: Error rate of a family.
        results: The comparisons.
    """

    experiment: str
    changes: str
    baseline: str
    first_seed: int
    tuning_seeds: list[int]
    dataset: str
    fingerprint: str
    alpha: float
    results: list[Result]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "StudyResult":
        """Inverse of :meth:`to_dict`."""
        return _STUDY.validate_python(values)


_STUDY = TypeAdapter(StudyResult)


def load(output: Path) -> list[StudyResult]:
    """Read the ``verdicts.json`` of a folder of runs; an empty list where there is none.

    Raises:
        ConfigError: The file is not one of ours.
    """
    path = output / VERDICTS
    try:
        return [StudyResult.from_dict(study) for study in json.loads(path.read_bytes())["studies"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigError(
            f"{path} cannot be read ({str(error).splitlines()[0]}); move it away, and the same "
            "command writes it again from the records"
        ) from None


def save(output: Path, study: StudyResult) -> StudyResult:
    """Put a study into the file of its folder, at once or not at all.

    Comparisons of the same study that other commands made stay; so do the rules that these
    comparisons had before, and a verdict by the same rule until there is a new one: a command that
    ends early takes nothing away.

    Returns:
        The study as it now stands in the file.
    """
    with FileLock(output / f".{VERDICTS}.lock"):
        studies = {entry.baseline: entry for entry in load(output)}
        before = studies.get(study.baseline)
        kept = {result.name: result for result in before.results} if before else {}
        merged = kept | {
            result.name: _succeed(kept.get(result.name), result) for result in study.results
        }
        study = replace(study, results=[merged[name] for name in sorted(merged)])
        studies[study.baseline] = study
        content = {"layout": LAYOUT, "studies": [entry.to_dict() for entry in studies.values()]}
        write_atomically(output / VERDICTS, json.dumps(content, indent=1, allow_nan=False))
    return study


def _succeed(old: Result | None, new: Result) -> Result:
    if old and old.verdict and new.status == "planned" and old.rule_hash == new.rule_hash:
        return old
    return replace(new, earlier_rules=_history(new, old))


def _history(new: Result, old: Result | None) -> list[dict[str, Any]]:
    if old is None:
        return []
    if not old.rule or not new.rule or old.rule_hash == new.rule_hash:
        return old.earlier_rules
    return [*old.earlier_rules, {"rule_hash": old.rule_hash, "rule": old.rule}]


def not_adjusted_with(result: Result, study: StudyResult) -> list[str]:
    """Verdicts of the same family that another command reached: they do not share its error rate.

    A control is a family of its own.
    """
    if result.verdict is None or result.family == "control":
        return []
    return [
        other.name
        for other in study.results
        if other.family == result.family
        and other.verdict is not None
        and other.name not in result.adjusted_with
    ]


def changes(result: Result) -> list[str]:
    """What differs between the rule of a comparison and the one it had before, in words."""
    if not result.earlier_rules:
        return []
    old, new = _leaves(result.earlier_rules[-1]["rule"]), _leaves(result.rule)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key)} before, {new.get(key)} now" for key in keys]


def _leaves(rule: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in rule.items():
        name = f"{prefix}{key}"
        found |= _leaves(value, f"{name} ") if isinstance(value, dict) else {name: value}
    return found


def hash_of(rule: dict[str, Any]) -> str:
    """Twelve hexadecimal digits, equal for equal rules."""
    text = json.dumps(rule, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def finite(value: float) -> float | None:
    """A number as JSON knows it."""
    return value if isfinite(value) else None
