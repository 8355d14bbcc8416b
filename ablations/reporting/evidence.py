"""Reads records and verdicts: one section for each study or experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablations import record
from ablations.arms import Changes, changes_of, name_of, shortest
from ablations.claims import results
from ablations.claims.results import ArmResult, ClaimResult, StudyResult
from ablations.config import ConfigError
from ablations.record import Record
from ablations.reporting.claims import FAMILIES, order_of
from ablations.stats.labels import Label
from ablations.words import count, listed, plain, slug


@dataclass(frozen=True)
class Arm:
    """The runs of a section that differ only in the seed.

    Attributes:
        shown: Changes that tell it from the other arms of its section; none for the baseline.
        runs: Records, in the order of their seeds; replicates share a seed.
        full: Changes to the experiment, tuned keys included.
    """

    shown: Changes
    runs: list[Record]
    full: Changes

    @property
    def name(self) -> str:
        """Shortest name in its section: ``baseline``, or the difference from it."""
        return name_of(self.shown)

    @property
    def finished(self) -> list[Record]:
        """The runs that did not diverge."""
        return [run for run in self.runs if run.status == "finished"]

    def errors(self, view: str, k: int) -> list[float]:
        """Return the test error of each run in percent; that of a diverged run is chance."""
        return [100 * run.test_error(view, k) for run in self.runs]

    @property
    def train_test(self) -> list[tuple[float, float]]:
        """Training and test error of each finished run in percent, both in the center view."""
        return [
            (100 * run.train.top1, 100 * run.test["center"].top1)
            for run in self.finished
            if run.train and "center" in run.test
        ]

    @property
    def gaps(self) -> list[float]:
        """Generalization gap of each finished run, in percentage points."""
        return [test - train for train, test in self.train_test]

    @property
    def color_differences(self) -> list[float]:
        """Points between the mean colors of the towers in each finished run (§6.1)."""
        return [100 * abs(run.colors[0] - run.colors[1]) for run in self.finished]


@dataclass(frozen=True)
class Section:
    """A study, or the runs of commands without a study, by experiment.

    Attributes:
        key: Identifier for URLs, unique in the report.
        title: Title of the study, or the names of data and experiment.
        name: Name of the study or of the experiment, unique in the report.
        dataset: Name of the data.
        fingerprint: Fingerprint of the data.
        output: Folder of the runs.
        arms: The arms, those with the fewest differences first, without tuning runs.
        results: The claims, in the order of the paper.
        study: The study; None for runs of commands without a study.
        tuning: Records of tuning and gate runs.
    """

    key: str
    title: str
    name: str
    dataset: str
    fingerprint: str
    output: Path
    arms: list[Arm]
    results: Sequence[ClaimResult] = ()
    study: StudyResult | None = None
    tuning: Sequence[Record] = ()

    @property
    def runs(self) -> list[Record]:
        """The runs of all arms."""
        return [run for arm in self.arms for run in arm.runs]

    @property
    def shown(self) -> list[ClaimResult]:
        """The claims that are not excluded."""
        return [result for result in self.results if not result.excluded]

    @property
    def excluded(self) -> list[ClaimResult]:
        """The claims that do not apply at this experiment."""
        return [result for result in self.results if result.excluded]

    @property
    def unasked(self) -> list[str]:
        """Names of the claims of the study that no command has asked for."""
        known = {result.claim for result in self.results}
        return [name for name in self.study.claims if name not in known] if self.study else []

    @property
    def groups(self) -> dict[str, list[ClaimResult]]:
        """The families of the claims that are not excluded, by title."""
        groups: dict[str, list[ClaimResult]] = {}
        for result in self.shown:
            groups.setdefault(FAMILIES[result.family], []).append(result)
        return groups

    @property
    def unfinished(self) -> list[ClaimResult]:
        """The claims that are not decided and have looks left."""
        return [
            result
            for result in self.shown
            if not result.decided
            and result.label != Label.not_testable
            and result.n < result.looks[-1]
        ]

    @property
    def scale(self) -> str:
        """Networks, parameters, training images and epochs."""
        if not self.runs:
            return "no finished pairs here" if self.tuning else "no records here"
        widths: dict[str, list[str]] = {}
        for run in self.runs:
            found = widths.setdefault(run.run.model.value, [])
            if (width := plain(run.run.width)) not in found:
                found.append(width)
        parts = [
            listed([f"{model} at width {listed(found)}" for model, found in widths.items()]),
            f"{_range([r.parameters for r in self.runs])} parameters",
        ]
        if trained := [r for r in self.runs if r.train]:
            epochs = _range([r.epochs for r in trained])
            parts += [
                f"{_range([r.data.train_images for r in trained])} training images",
                f"{epochs} epoch" + "s" * (epochs != "1"),
            ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Evidence:
    """Everything that a report shows.

    Attributes:
        sections: The studies, then the experiments without a study.
        missing: What is missing, and how to get it.
    """

    sections: list[Section]
    missing: list[str]


def gather(*folders: Path) -> Evidence:
    """Read the records and verdicts of folders.

    Args:
        folders: Folders of runs; the sections of several are named after their folder.

    Raises:
        ConfigError: A folder has no records and no verdicts, or runs that belong together have
            different data or numerics.
    """
    if len(folders) == 1:
        return _read(folders[0])
    all_of_them = Evidence([], [])
    for number, folder in enumerate(folders, 1):
        found = _read(folder)
        all_of_them.missing.extend(f"{folder}: {text}" for text in found.missing)
        all_of_them.sections.extend(
            replace(
                section,
                key=slug(f"folder{number}", section.key),
                title=f"{section.title} ({folder})",
                name=f"{folder}/{section.name}",
            )
            for section in found.sections
        )
    return all_of_them


def _read(output: Path) -> Evidence:
    studies = results.load(output)
    records = {run.run_id: run for run in record.load_all(output)}
    missing: list[str] = []
    if not records and not studies:
        raise ConfigError(
            f"no records and no verdicts in {output}; next step: train runs with ablations/run.py, "
            "or name their folder with --output"
        )
    if not studies:
        missing.append(
            "No verdicts yet: the tables show arms only; next step: test claims with "
            "ablations/reproduce.py."
        )
    judged = {run_id for study in studies for run_id in _arm_names(study)}
    # A study also tunes with runs that were trained under another name, such as pilots.
    tuned = {
        (study.fingerprint, seed): study.name for study in studies for seed in study.tuning_seeds
    }
    others: dict[str, list[Record]] = {}
    for run in records.values():
        if run.run_id not in judged:
            name = run.experiment
            if all(name != study.name for study in studies):
                name = tuned.get((run.data.fingerprint, run.seed), name)
            others.setdefault(name, []).append(run)
    sections = [
        _study_section(study, output, records, others.pop(study.name, []), missing)
        for study in studies
    ]
    for name, runs in others.items():
        _refuse_mixture(name, runs)
        data = runs[0].data
        title = f"{data.name}: {name}"
        arms, _ = _shortly_named(runs, [])
        sections.append(Section(slug(name), title, name, data.name, data.fingerprint, output, arms))
    return Evidence(sections, missing)


def _study_section(
    study: StudyResult,
    output: Path,
    records: Mapping[str, Record],
    unjudged: Sequence[Record],
    missing: list[str],
) -> Section:
    """Return the section of a study.

    Args:
        study: The study.
        output: Folder of the runs.
        records: All records by run id.
        unjudged: Runs of the study that no verdict uses.
        missing: Extended by what is missing.
    """
    names = _arm_names(study)
    judged = [records[run_id] for run_id in names if run_id in records]
    if lost := len(names) - len(judged):
        missing.append(
            f"{study.name}: the records of {count(lost, 'run')} behind the verdicts are not here, "
            "and neither are their learning curves."
        )
    _refuse_mixture(study.name, judged)
    # Before the first verdict, the first run on the study's data determines the numerics.
    kinds = [k for k in map(_kind, [*judged, *unjudged]) if k[0] == study.fingerprint]
    untuned = [run for run in unjudged if run.seed not in study.tuning_seeds]
    used = [run for run in untuned if _kind(run) in kinds[:1]]
    if foreign := len(untuned) - len(used):
        missing.append(
            f"{study.name}: left out {count(foreign, 'run')} of other data or numerics than the "
            "verdicts; such runs are never pooled."
        )
    runs = [replace(run, arm=names.get(run.run_id, run.arm)) for run in [*judged, *used]]
    arms, claims = _shortly_named(runs, study.results)
    return Section(
        slug(study.name),
        study.title,
        study.name,
        study.dataset,
        study.fingerprint,
        output,
        arms,
        claims,
        study,
        [run for run in unjudged if run.seed in study.tuning_seeds],
    )


def _compared(claims: Sequence[ClaimResult]) -> list[ArmResult]:
    """Return the arms of all claims."""
    pairs = [pair for claim in claims for pair in claim.arms.values()]
    return [arm for pair in pairs for arm in pair.values()]


def _arm_names(study: StudyResult) -> dict[str, str]:
    """Return the name of the arm by run id, for all runs behind the verdicts of a study.

    Arms that read the same runs in different views share them. They count for the arm with the
    fewest changes.
    """
    arms = sorted(_compared(study.results), key=lambda arm: len(changes_of(arm.name)))
    return {run_id: arm.name for arm in arms[::-1] for ids in arm.runs.values() for run_id in ids}


def _shortly_named(
    runs: Sequence[Record], claims: Sequence[ClaimResult]
) -> tuple[list[Arm], list[ClaimResult]]:
    """Return the arms of a section and its claims, with the shortest names of the arms.

    Args:
        runs: Records with the full names of their arms.
        claims: The claims; empty without a study.
    """
    compared = _compared(claims)
    names = sorted({run.arm for run in runs} | {arm.name for arm in compared})
    full = {name: changes_of(name) for name in names}
    short = shortest(full, {arm.tuned.partition("=")[0] for arm in compared})
    members: dict[str, list[Record]] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.run_id)):
        members.setdefault(run.arm, []).append(replace(run, arm=name_of(short[run.arm])))
    arms = [Arm(short[name], found, full[name]) for name, found in members.items()]
    renamed = [
        replace(
            claim,
            arms={
                part: {s: replace(arm, name=name_of(short[arm.name])) for s, arm in pair.items()}
                for part, pair in claim.arms.items()
            },
        )
        for claim in sorted(claims, key=order_of)
    ]
    return sorted(arms, key=lambda arm: (len(arm.shown), arm.name)), renamed


def _kind(run: Record) -> tuple[str, int]:
    return run.data.fingerprint, run.numerics


def _refuse_mixture(where: str, runs: Sequence[Record]) -> None:
    kinds = {_kind(run): run.run_id for run in runs}
    if len(kinds) > 1:
        found = "; ".join(
            f"data {data[:12]}, numerics {numerics} (such as run {run_id})"
            for (data, numerics), run_id in kinds.items()
        )
        raise ConfigError(
            f"{where}: runs of different data or numerics are never pooled: {found}; next step: "
            "move one kind into another folder, and report on each with --output"
        )


def _range(values: Sequence[int]) -> str:
    return " to ".join(f"{value:,}" for value in dict.fromkeys([min(values), max(values)]))
