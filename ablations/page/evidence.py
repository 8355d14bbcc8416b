"""Records and verdicts, a chapter for each study; refuses to pool what differs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ablations import record
from ablations.config import ConfigError
from ablations.page import words
from ablations.page.arms import ArmOfRuns, arms_of
from ablations.page.findings import Finding
from ablations.page.labels import EXCLUDED
from ablations.record import Record
from ablations.study import verdicts
from ablations.study.verdicts import StudyResult


@dataclass(frozen=True)
class Chapter:
    """One study, or the runs of an experiment that no study has asked for.

    Attributes:
        key: Fit for an address, unique in the report.
        title: Name of the experiment, and what the study changed in it.
        dataset: Name of the data.
        fingerprint: Of the data.
        findings: What was compared, in the order of the paper.
        arms: Runs by arm, the unchanged experiment first; tuning runs are left out.
        tuning: Number of tuning runs.
    """

    key: str
    title: str
    dataset: str
    fingerprint: str
    findings: list[Finding]
    arms: list[ArmOfRuns]
    tuning: int = 0

    @property
    def runs(self) -> list[Record]:
        """All runs."""
        return [run for arm in self.arms for run in arm.runs]

    @property
    def claims(self) -> list[Finding]:
        """What the paper or an extension says; neither controls nor what makes no sense here."""
        return [
            finding
            for finding in self.findings
            if finding.result.family != "control" and finding.mark is not EXCLUDED
        ]

    @property
    def paper(self) -> list[Finding]:
        """What the paper says."""
        return [finding for finding in self.claims if finding.result.family == "confirmatory"]

    @property
    def extensions(self) -> list[Finding]:
        """What others say, or we ask."""
        return [finding for finding in self.claims if finding.result.family == "exploratory"]

    @property
    def controls(self) -> list[Finding]:
        """Comparisons of like with like."""
        return [finding for finding in self.findings if finding.result.family == "control"]

    @property
    def excluded(self) -> list[Finding]:
        """Claims that make no sense at this experiment."""
        return [finding for finding in self.findings if finding.mark is EXCLUDED]

    @property
    def scale(self) -> str:
        """The size of the experiment, for labels: networks, images and epochs."""
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
    """Everything a report is made of.

    Attributes:
        output: Folder of the runs.
        chapters: One for each study.
        missing: What the report has to do without, and how to get it.
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
    studies = verdicts.load(output)
    records = {run.run_id: run for run in record.load_all(output)}
    if not studies and not records:
        raise ConfigError(
            f"no records and no verdicts in {output}; next step: train some with ablations/run.py, "
            "or name their folder with --output"
        )
    missing: list[str] = []
    if not records:
        missing.append(f"No finished run in {output.name}/: ablations/run.py trains some.")
    if not studies:
        missing.append(
            "No verdicts yet, hence tables of arms only: ablations/reproduce.py puts claims to the "
            "test."
        )
    chapters: list[Chapter] = []
    for number, study in enumerate(studies, start=1):
        alone = sum(other.experiment == study.experiment for other in studies) == 1
        key = study.experiment if alone else f"{study.experiment}-{number}"
        chapters.append(_of_study(study, key, alone, records, missing))
    told = {study.experiment for study in studies}
    for experiment in dict.fromkeys(
        r.experiment for r in records.values() if r.experiment not in told
    ):
        runs = [run for run in records.values() if run.experiment == experiment]
        _refuse_mixture(experiment, runs)
        data = runs[0].data
        arms = arms_of(runs)
        chapters.append(
            Chapter(experiment, _title(experiment), data.name, data.fingerprint, [], arms)
        )
    return Evidence(output, chapters, missing)


def _of_study(
    study: StudyResult, key: str, alone: bool, records: dict[str, Record], missing: list[str]
) -> Chapter:
    wanted = {
        name
        for result in study.results
        for arm in result.arms.values()
        for names in arm.runs.values()
        for name in names
    }
    runs = [records[name] for name in wanted & records.keys()]
    if lost := len(wanted) - len(runs):
        missing.append(
            f"{key}: the records of {words.count(lost, 'run')} behind the verdicts are not here, "
            "nor are their learning curves."
        )
    _refuse_mixture(key, runs)
    if runs and runs[0].data.fingerprint != study.fingerprint:
        raise ConfigError(
            f"{key}: the verdicts are of data {study.fingerprint[:12]}, their runs of "
            f"{runs[0].run['fingerprint'][:12]}; next step: run ablations/reproduce.py again"
        )
    others = [
        run
        for run in records.values()
        if alone and run.experiment == study.experiment and run.run_id not in wanted
    ]
    # Before the first verdict no run is named: those of the study's data are of its kind then.
    kinds = [_kind(run) for run in (*runs, *others)]
    kind = next((kind for kind in kinds if kind[0] == study.fingerprint), None)
    tuning, strangers = 0, 0
    for run in others:
        if run.seed in study.tuning_seeds:
            tuning += 1
        elif _kind(run) == kind:
            runs.append(run)
        else:
            strangers += 1
    if strangers:
        missing.append(
            f"{key}: left out, {words.count(strangers, 'run')} of other data or numerics than the "
            "verdicts; runs that differ in these are never pooled."
        )
    title = _title(study.experiment)
    if study.changes not in ("", "baseline"):
        title += f" with {study.changes}"
    if study.first_seed:
        title += f", seeds from {study.first_seed}"
    found = [Finding(result, study, key) for result in study.results]
    found.sort(key=lambda finding: finding.order)
    return Chapter(key, title, study.dataset, study.fingerprint, found, arms_of(runs), tuning)


def _title(experiment: str) -> str:
    title = words.spoken(experiment)
    return title[:1].upper() + title[1:]


def _kind(run: Record) -> tuple[str, str]:
    return run.data.fingerprint, str(run.numerics)


def _refuse_mixture(where: str, runs: list[Record]) -> None:
    kinds: dict[tuple[str, str], list[str]] = {}
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
