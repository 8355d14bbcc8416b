"""The tables of a section: its arms, published results beside them, and their provenance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import yaml

from ablations.arms import BASELINE, shared
from ablations.launch.summary import unlearned
from ablations.record import Record
from ablations.reporting.evidence import Section
from ablations.words import count, duration, listed, mean_sd, spoken

PUBLISHED: dict[str, Any] = yaml.safe_load(
    (files("ablations.reporting") / "published.yaml").read_text("utf-8")
)


def arms_table(section: Section) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the column names, and one row of text for each arm."""
    top5 = any(5 in run.data.top_k for run in section.runs)
    head = ("arm", "n", "top-1, ten views", "top-1, center", *["top-5, ten views"] * top5)
    head += ("training top-1", "gap", "time per run")
    rows = []
    for arm in section.arms:
        diverged = len(arm.runs) - len(arm.finished)
        rows.append(
            (
                arm.name,
                f"{len(arm.runs)}" + f" ({diverged} diverged)" * bool(diverged),
                mean_sd(arm.errors("ten_view", 1)),
                mean_sd(arm.errors("center", 1)),
                *[mean_sd(arm.errors("ten_view", 5))] * top5,
                mean_sd([train for train, _ in arm.train_test]),
                mean_sd(arm.gaps),
                duration(sum(run.seconds for run in arm.runs) / len(arm.runs)),
            )
        )
    return head, rows


def at_chance(section: Section) -> str:
    """Return which arms have not learned and what to do about it; empty if there are none."""
    return unlearned({arm.name: arm.runs for arm in section.arms})


def published_rows(section: Section) -> list[Sequence[str]]:
    """Return our errors and published ones, in the columns of :data:`PUBLISHED`.

    They are empty unless the runs are on ImageNet with its 1000 classes.
    """
    classes = {run.data.classes for run in section.runs}
    if "imagenet" not in section.dataset.lower() or 1000 not in classes:
        return []
    ours: list[Sequence[str]] = []
    for arm in section.arms:
        name = f"{arm.name}, n = {len(arm.runs)}"
        for view, views in (("ten_view", "10"), ("center", "1")):
            errors = [mean_sd(arm.errors(view, k)) for k in (1, 5)]
            ours.append(("ours", name, section.dataset, views, *errors, ""))
    return ours + PUBLISHED["rows"]


def provenance(section: Section) -> list[tuple[str, str]]:
    """Return where the numbers of a section come from, as names and values."""
    runs, study = section.runs, section.study
    rows = []
    if study:
        commit = study.commit[:10] if study.commit else "unknown, outside a clone"
        seeds = f"pairs from {study.first_seed}; tuning and gate {listed(study.tuning_seeds)}"
        experiment = " ".join([study.experiment, *study.changes])
        rows = [
            ("Study", f"{study.name}, version {study.version}: {experiment}"),
            ("Commit of the rules", commit),
            ("Seeds", seeds),
        ]
    if section.unasked:
        names = ", ".join(map(spoken, section.unasked))
        rows.append(("Other claims of the study", f"{names}; no command has asked for them"))
    diverged = sum(run.status == "diverged" for run in runs)
    tuning = f"; in addition {len(section.tuning)} for tuning and gates" if section.tuning else ""
    trained = [*runs, *section.tuning]
    packages = dict.fromkeys(name for run in trained for name in run.provenance.get("versions", {}))
    versions = [
        f"{name} {_tally(run.provenance.get('versions', {}).get(name, '?') for run in trained)}"
        for name in packages
    ]
    rows += _names(section)
    rows += [
        ("Data", f"{section.dataset}, SHA-256 {section.fingerprint[:16]}…"),
        ("Scale", section.scale),
        ("Runs", f"{len(runs)}, {diverged} of them diverged{tuning}"),
        ("Devices", _tally(f"{run.hardware.devices} × {run.hardware.device}" for run in trained)),
        ("Precision", _tally(run.run.recipe.precision for run in trained)),
        ("Commit of the runs", _tally(_commit(run) for run in trained)),
        ("Versions", "; ".join(versions)),
        ("Numerics", _tally(str(run.numerics) for run in trained)),
        ("Training time", duration(sum(run.seconds for run in trained))),
    ]
    times = sorted(str(run.provenance["time"]) for run in trained if "time" in run.provenance)
    if times:
        rows.append(("Finished", " to ".join(dict.fromkeys([times[0][:16], times[-1][:16]]))))
    if skipped := max((run.data.skipped for run in runs), default=0):
        rows.append(("Broken images left out", f"{skipped}"))
    return rows


def _names(section: Section) -> list[tuple[str, str]]:
    """Return what the short names of the arms leave out."""
    full = {arm.name: arm.full for arm in section.arms}
    base = full.get(BASELINE) or shared(list(full.values()))
    tuned = []
    for arm in section.arms:
        said = {*base.values(), *arm.shown.values()}
        rest = [text for text in arm.full.values() if text not in said]
        rest += [f"{key} of the experiment" for key in base if key not in arm.full]
        if rest:
            tuned.append(f"{arm.name}: {' '.join(rest)}")
    rows = {
        "Baseline" if BASELINE in full else "In all arms": " ".join(base.values()),
        "Tuned by arm": "; ".join(tuned),
    }
    return [(name, text) for name, text in rows.items() if text]


def _commit(run: Record) -> str:
    commit = run.provenance.get("commit")
    if not commit:
        return "unknown"
    return commit[:10] + (" with local changes" if run.provenance.get("dirty") else "")


def _tally(values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return ", ".join(f"{value} ({count(number, 'run')})" for value, number in counts) or "–"
