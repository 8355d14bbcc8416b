"""Reads records and verdicts: one section for each study or experiment."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from ablations import record
from ablations.arms import Changes, changes_of, name_of, shortest
from ablations.claims import results
from ablations.claims.files import study_files
from ablations.claims.results import ArmResult, ClaimResult, StudyResult
from ablations.config import ConfigError
from ablations.keys import command_line
from ablations.record import Record
from ablations.reporting.claims import FAMILIES, order_of
from ablations.stats.labels import Label
from ablations.words import count, listed, plain, slug


@dataclass(frozen=True)
class Arm:
    """The runs of a section that differ only in the seed.

    Attributes:
        shown: Changes that tell it from the other arms of its section; none for the baseline.
        runs: Records by seed; replicates share a seed.
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
    """A study, or the runs of an experiment that belong to no study.

    Attributes:
        key: Identifier for URLs, unique in the report.
        title: Title of the study, or the names of data and experiment.
        name: Name in the records of the runs.
        dataset: Name of the data.
        fingerprint: Fingerprint of the data.
        results: The claims, in the order of the paper.
        arms: The arms, those with the fewest differences first, without tuning runs.
        study: The study; None for runs that belong to no study.
        tuning: Records of tuning and gate runs.
        output: Folder of the runs.
    """

    key: str
    title: str
    name: str
    dataset: str
    fingerprint: str
    results: list[ClaimResult]
    arms: list[Arm]
    study: StudyResult | None = None
    tuning: Sequence[Record] = ()
    output: Path = Path()

    @property
    def runs(self) -> list[Record]:
        """The runs of all arms."""
        return [run for arm in self.arms for run in arm.runs]

    @property
    def groups(self) -> list[tuple[str, list[ClaimResult]]]:
        """The families of the claims that are not excluded, by title."""
        groups = [
            (title, [r for r in self.results if r.family == family and not r.excluded])
            for family, title in FAMILIES.items()
        ]
        return [(title, members) for title, members in groups if members]

    @property
    def shown(self) -> list[ClaimResult]:
        """The claims that are not excluded."""
        return [result for _, members in self.groups for result in members]

    @property
    def excluded(self) -> list[ClaimResult]:
        """The claims that do not apply at this experiment."""
        return [result for result in self.results if result.excluded]

    @property
    def scale(self) -> str:
        """Networks, parameters, training images and epochs."""
        if not self.runs:
            return "no finished pairs here" if self.tuning else "no records here"
        models = Counter(run.run.model.value for run in self.runs)
        widths = Counter((run.run.model.value, plain(run.run.width)) for run in self.runs)
        networks = []
        for name, _ in models.most_common():
            found = [width for (model, width), _ in widths.most_common() if model == name]
            networks.append(f"{name} at width {listed(found)}")
        parts = [
            listed(networks),
            f"{_range(r.parameters for r in self.runs)} parameters",
        ]
        if trained := [r for r in self.runs if r.train]:
            epochs = _range(r.epochs for r in trained)
            parts += [
                f"{_range(r.train.count for r in trained if r.train)} training images",
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


def gather(output: Path) -> Evidence:
    """Read the records and verdicts of a folder.

    Args:
        output: Folder of the runs.

    Raises:
        ConfigError: There are none, or runs that belong together have different data or numerics.
    """
    studies = results.load(output)
    records = {run.run_id: run for run in record.load_all(output)}
    missing: list[str] = []
    if not records and not studies:
        raise ConfigError(
            f"no records and no verdicts in {output}; next step: train runs with ablations/run.py, "
            "or name their folder with --output"
        )
    if not records:
        missing.append(
            f"No finished run in {output.name}/; next step: train runs with ablations/run.py."
        )
    if not studies:
        missing.append(
            "No verdicts yet: the tables show arms only; next step: test claims with "
            "ablations/reproduce.py."
        )
    judged = {run_id for study in studies for run_id in _arm_names(study)}
    others: dict[str, list[Record]] = {}
    for run in records.values():
        if run.run_id not in judged:
            others.setdefault(run.experiment, []).append(run)
    sections = [
        _study_section(study, records, others.pop(study.name, []), missing) for study in studies
    ]
    for name, runs in others.items():
        _refuse_mixture(name, runs)
        data = runs[0].data
        title = f"{data.name}: {name}"
        full = {run.arm: changes_of(run.arm) for run in runs}
        arms = _arms(runs, full, shortest(full))
        sections.append(Section(slug(name), title, name, data.name, data.fingerprint, [], arms))
    return Evidence([replace(section, output=output) for section in sections], missing)


def gather_two(one: Path, other: Path) -> Evidence:
    """Read the records and verdicts of two folders, whose sections are named after their folder.

    Args:
        one: Folder of the runs of a study.
        other: Folder of the runs of another study.

    Raises:
        ConfigError: See :func:`gather`; also where a folder has no study, or both are the same.
    """
    if one.resolve() == other.resolve():
        raise ConfigError(
            f"{one} {other}: the same folder; next step: name the folders of two studies"
        )
    sections, missing = [], []
    for key, folder in zip("ab", (one, other), strict=True):
        found = gather(folder)
        if not any(section.study for section in found.sections):
            raise ConfigError(
                f"{folder}: no verdicts to compare; next step: test claims with "
                f"ablations/reproduce.py output={folder}"
            )
        missing += [f"{folder}: {text}" for text in found.missing]
        sections += [
            replace(
                section,
                key=slug(key, section.key),
                title=f"{section.title} ({folder})",
                name=f"{folder}/{section.name}",
            )
            for section in found.sections
        ]
    return Evidence(sections, missing)


def unfinished(section: Section) -> str:
    """Return what a study lacks for its labels, and how to resume it; empty if it lacks nothing."""
    study = section.study
    left = [
        result
        for result in section.shown
        if not (result.decided or result.label == Label.not_testable)
        and result.n < result.looks[-1]
    ]
    if not study or not left:
        return ""
    asked = [result.claim for result in study.results]
    if study.name in study_files():
        words = [study.name, *(asked if len(asked) < len(study.claims) else [])]
    else:
        words = [*asked, f"experiment={study.experiment}", *study.changes]
    if section.output.resolve() != Path("runs").resolve():
        words.append(f"output={section.output}")
    runs = count(len(section.runs) + len(section.tuning), "run")
    return (
        f"{count(len(left), 'claim')} not decided, {runs} finished; next step: "
        f"{command_line('reproduce')} {' '.join(map(quote, words))}"
    )


def _arm_results(study: StudyResult) -> list[ArmResult]:
    """Return the arms of all claims."""
    pairs = [pair for result in study.results for pair in result.arms.values()]
    return [arm for pair in pairs for arm in pair.values()]


def _arm_names(study: StudyResult) -> dict[str, list[str]]:
    """Return the names of the arms by run id, for all runs behind the verdicts of a study."""
    names: dict[str, list[str]] = {}
    for arm in _arm_results(study):
        for run_id in (run_id for ids in arm.runs.values() for run_id in ids):
            names.setdefault(run_id, []).append(arm.name)
    return names


def _own_name(run: Record, study: StudyResult, names: Sequence[str]) -> Record:
    """Return a record with the name of its arm in the study, the one with the fewest changes.

    Arms that read the same runs in different views share them. A run that another experiment
    trained first has the arm's name in that experiment.
    """
    known = [run.arm] if run.experiment == study.name else []
    known += names
    return replace(run, arm=min(known or [run.arm], key=lambda name: len(changes_of(name))))


def _renamed(result: ClaimResult, short: Mapping[str, Changes]) -> ClaimResult:
    arms = {
        part: {side: replace(arm, name=name_of(short[arm.name])) for side, arm in pair.items()}
        for part, pair in result.arms.items()
    }
    return replace(result, arms=arms)


def _study_section(
    study: StudyResult, records: Mapping[str, Record], unjudged: list[Record], missing: list[str]
) -> Section:
    """Return the section of a study.

    Args:
        study: The study.
        records: All records by run id.
        unjudged: Runs of the study that no verdict uses.
        missing: Extended by what is missing.
    """
    names = _arm_names(study)
    runs = [records[run_id] for run_id in names if run_id in records]
    if lost := len(names) - len(runs):
        missing.append(
            f"{study.name}: the records of {count(lost, 'run')} behind the verdicts are not here, "
            "and neither are their learning curves."
        )
    _refuse_mixture(study.name, runs)
    if runs and runs[0].data.fingerprint != study.fingerprint:
        raise ConfigError(
            f"{study.name}: the verdicts are of data {study.fingerprint[:12]}, their runs of "
            f"{runs[0].data.fingerprint[:12]}; next step: run ablations/reproduce.py again"
        )
    # Before the first verdict, the first run on the study's data determines the numerics.
    kinds = [_kind(run) for run in (*runs, *unjudged) if run.data.fingerprint == study.fingerprint]
    untuned = [run for run in unjudged if run.seed not in study.tuning_seeds]
    used = [run for run in untuned if _kind(run) in kinds[:1]]
    if foreign := len(untuned) - len(used):
        missing.append(
            f"{study.name}: left out {count(foreign, 'run')} of other data or numerics than the "
            "verdicts; such runs are never pooled."
        )
    named = [_own_name(run, study, names.get(run.run_id, [])) for run in (*runs, *used)]
    arms = _arm_results(study)
    shown = {run.arm for run in named} | {arm.name for arm in arms}
    full = {name: changes_of(name) for name in sorted(shown)}
    short = shortest(full, {arm.tuned.partition("=")[0] for arm in arms})
    return Section(
        slug(study.name),
        study.title,
        study.name,
        study.dataset,
        study.fingerprint,
        [_renamed(result, short) for result in sorted(study.results, key=order_of)],
        _arms(named, full, short),
        study,
        [run for run in unjudged if run.seed in study.tuning_seeds],
    )


def _arms(
    runs: Iterable[Record], full: Mapping[str, Changes], short: Mapping[str, Changes]
) -> list[Arm]:
    """Group runs by arm, the baseline first; ``full`` and ``short`` have the arms by name."""
    arms: dict[str, list[Record]] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.run_id)):
        arms.setdefault(run.arm, []).append(replace(run, arm=name_of(short[run.arm])))
    found = [Arm(short[name], members, full[name]) for name, members in arms.items()]
    return sorted(found, key=lambda arm: (len(arm.shown), arm.name))


def _kind(run: Record) -> tuple[str, int]:
    return run.data.fingerprint, run.numerics


def _refuse_mixture(where: str, runs: Iterable[Record]) -> None:
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


def _range(values: Iterable[int]) -> str:
    found = sorted(values)
    return " to ".join(f"{value:,}" for value in dict.fromkeys([found[0], found[-1]]))
