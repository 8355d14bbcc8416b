"""Records and verdicts, a chapter for each study; refuses to pool what differs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ablations import record
from ablations.claims import results
from ablations.claims.results import StudyResult
from ablations.config import ConfigError
from ablations.page import words
from ablations.page.arms import ArmOfRuns, arms_of
from ablations.page.findings import Finding
from ablations.record import Record


@dataclass(frozen=True)
class Chapter:
    """One study, or the runs of an experiment that no study asked for.

    Attributes:
        key: Fit for an address, unique in the report.
        title: Title of the study, or name of the experiment.
        name: Name that the runs' records give.
        dataset: Name of the data.
        fingerprint: Of the data.
        findings: The claims, in the order of the paper.
        arms: Runs by arm, the fewest differences first; tuning runs are left out.
        study: The study; None for runs that no study asked for.
        tuning: Number of tuning and gate runs.
    """

    key: str
    title: str
    name: str
    dataset: str
    fingerprint: str
    findings: list[Finding]
    arms: list[ArmOfRuns]
    study: StudyResult | None = None
    tuning: int = 0

    @property
    def runs(self) -> list[Record]:
        """All runs."""
        return [run for arm in self.arms for run in arm.runs]

    @property
    def groups(self) -> list[tuple[str, list[Finding]]]:
        """The claims that make sense here by family, under their titles."""
        shown = [finding for finding in self.findings if not finding.result.excluded]
        titles = {"paper": "Claims", "extension": "Extensions", "control": "Controls"}
        groups = [
            (title, [f for f in shown if f.result.family == family])
            for family, title in titles.items()
        ]
        return [(title, members) for title, members in groups if members]

    @property
    def shown(self) -> list[Finding]:
        """All claims that make sense here."""
        return [finding for _, members in self.groups for finding in members]

    @property
    def excluded(self) -> list[Finding]:
        """Claims that make no sense at this experiment."""
        return [finding for finding in self.findings if finding.result.excluded]

    @property
    def scale(self) -> str:
        """Networks, images and epochs."""
        if not self.runs:
            return "no records here"
        networks = Counter(
            f"{r.run.model.value} at width {words.plain(r.run.width)}" for r in self.runs
        )
        trained = [r for r in self.runs if r.train]
        parts = [
            words.listed([name for name, _ in networks.most_common()]),
            f"{_range(r.parameters for r in self.runs)} parameters",
            f"{_range(r.train.count for r in trained if r.train)} training images",
            f"{_epochs(r.epochs for r in trained)}",
        ]
        return ", ".join(parts[:2] + parts[2:] * bool(trained))


@dataclass(frozen=True)
class Evidence:
    """Everything that a report is made of.

    Attributes:
        output: Folder of the runs.
        chapters: One for each study, then one for each experiment without a study.
        missing: What is missing, and how to get it.
    """

    output: Path
    chapters: list[Chapter]
    missing: list[str] = field(default_factory=list)

    @property
    def runs(self) -> dict[str, Record]:
        """All runs by their ids."""
        return {run.run_id: run for chapter in self.chapters for run in chapter.runs}


def gather(output: Path) -> Evidence:
    """Read the records and verdicts below ``output``.

    Raises:
        ConfigError: There are none, or runs that belong together have different data or numerics.
    """
    studies = results.load(output)
    records = {run.run_id: run for run in record.load_all(output)}
    if not studies and not records:
        raise ConfigError(
            f"no records and no verdicts in {output}; next step: train runs with ablations/run.py, "
            "or name their folder with --output"
        )
    missing: list[str] = []
    if not records:
        missing.append(f"No finished run in {output.name}/: ablations/run.py trains runs.")
    if not studies:
        missing.append(
            "No verdicts yet, so the tables show arms only: ablations/reproduce.py tests claims."
        )
    of_studies = {run_id for study in studies for run_id in _names(study)}
    chapters = [_of_study(study, records, of_studies, missing) for study in studies]
    told = {study.name for study in studies}
    left = [r for r in records.values() if r.run_id not in of_studies and r.experiment not in told]
    for name in dict.fromkeys(run.experiment for run in left):
        runs = [run for run in left if run.experiment == name]
        _refuse_mixture(name, runs)
        data, title = runs[0].data, words.capital(words.spoken(name))
        chapters.append(
            Chapter(words.slug(name), title, name, data.name, data.fingerprint, [], arms_of(runs))
        )
    return Evidence(output, chapters, missing)


def _names(study: StudyResult) -> dict[str, str]:
    """Return the name of the arm by run id, of all runs behind the verdicts of a study."""
    return {
        run_id: arm.name
        for result in study.results
        for arms in result.arms.values()
        for arm in arms.values()
        for members in arm.runs.values()
        for run_id in members
    }


def _of_study(
    study: StudyResult, records: dict[str, Record], of_studies: set[str], missing: list[str]
) -> Chapter:
    names = _names(study)
    runs = [records[name] for name in names if name in records]
    if lost := len(names) - len(runs):
        missing.append(
            f"{study.name}: the records of {words.count(lost, 'run')} behind the verdicts are not "
            "here, and neither are their learning curves."
        )
    _refuse_mixture(study.name, runs)
    if runs and runs[0].data.fingerprint != study.fingerprint:
        raise ConfigError(
            f"{study.name}: the verdicts are of data {study.fingerprint[:12]}, their runs of "
            f"{runs[0].data.fingerprint[:12]}; next step: run ablations/reproduce.py again"
        )
    others = [
        run
        for run in records.values()
        if run.experiment == study.name and run.run_id not in of_studies
    ]
    # Before the first verdict no run is named: those of the study's data are of its kind then.
    kinds = [_kind(run) for run in (*runs, *others)]
    kind = next((kind for kind in kinds if kind[0] == study.fingerprint), None)
    tuning, foreign = 0, 0
    for run in others:
        if run.seed in study.tuning_seeds:
            tuning += 1
        elif _kind(run) == kind:
            runs.append(run)
        else:
            foreign += 1
    if foreign:
        missing.append(
            f"{study.name}: left out {words.count(foreign, 'run')} of other data or numerics than "
            "the verdicts; such runs are never pooled."
        )
    # A run may be named after another experiment that trained it first.
    arms = arms_of(runs, {r.run_id: names[r.run_id] for r in runs if r.experiment != study.name})
    key = words.slug(study.name)
    findings = sorted((Finding(r, study, key) for r in study.results), key=lambda f: f.order)
    return Chapter(
        key,
        study.title,
        study.name,
        study.dataset,
        study.fingerprint,
        findings,
        arms,
        study,
        tuning,
    )


def _kind(run: Record) -> tuple[str, int]:
    return run.data.fingerprint, run.numerics


def _refuse_mixture(where: str, runs: list[Record]) -> None:
    kinds: dict[tuple[str, int], list[str]] = {}
    for run in runs:
        kinds.setdefault(_kind(run), []).append(run.run_id)
    if len(kinds) < 2:
        return
    lines = [
        f"  data {data[:12]}, numerics {numerics}: {words.count(len(names), 'run')}, such as "
        f"{', '.join(names[:3])}"
        for (data, numerics), names in kinds.items()
    ]
    raise ConfigError(
        f"{where}: runs of different data or numerics are never pooled\n"
        + "\n".join(lines)
        + "\nnext step: move one kind into another folder, and report on each with --output"
    )


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    ends = [f"{value:,}" for value in dict.fromkeys(found[:1] + found[-1:])]
    return " to ".join(ends) or "no"


def _epochs(values: Iterable[int]) -> str:
    text = _range(values)
    return f"{text} epoch" + "s" * (text != "1")
