"""Where the numbers of a chapter come from."""

from collections.abc import Callable, Iterable
from typing import Any

from ablations.page import words
from ablations.page.evidence import Chapter
from ablations.record import Record


def provenance(chapter: Chapter) -> list[tuple[str, str]]:
    """Return where the numbers of a chapter come from, as names and values."""
    runs, study = chapter.runs, chapter.study
    sources: list[tuple[str, Callable[[Record], Any]]] = [
        ("Devices", lambda run: f"{run.hardware.devices} × {run.hardware.device}"),
        ("Precision", lambda run: run.run.recipe.precision.value),
        ("Commit of the runs", _commit),
    ]
    rows = [
        ("Data", f"{chapter.dataset}, SHA-256 {chapter.fingerprint[:16]}…"),
        ("Scale", chapter.scale),
        (
            "Runs",
            f"{len(runs)}, {sum(run.status == 'diverged' for run in runs)} of them diverged"
            + f"; besides, {chapter.tuning} for tuning and gates" * bool(chapter.tuning),
        ),
    ]
    if study:
        commit = study.commit[:10] if study.commit else "unknown, outside a clone"
        tuning = words.listed([str(seed) for seed in study.tuning_seeds])
        rows[:0] = [
            ("Study", f"{study.name}, version {study.version}: {study.scale}"),
            ("Commit of the rules", commit),
            ("Seeds", f"pairs from {study.first_seed}; tuning and gate {tuning}"),
        ]
    rows += [(name, _tally(read(run) for run in runs)) for name, read in sources]
    packages = dict.fromkeys(name for run in runs for name in run.provenance.get("versions", {}))
    versions = [
        f"{name} {_tally(run.provenance['versions'].get(name, '?') for run in runs)}"
        for name in packages
    ]
    rows.append(("Versions", "; ".join(versions)))
    rows.append(("Numerics", _tally(run.numerics for run in runs)))
    rows.append(("Training time", words.duration(sum(run.seconds for run in runs))))
    times = sorted(str(run.provenance["time"]) for run in runs if "time" in run.provenance)
    if times:
        rows.append(("Finished", " to ".join(dict.fromkeys((times[0][:16], times[-1][:16])))))
    skipped = max((run.data.skipped for run in runs), default=0)
    if skipped:
        rows.append(("Broken images left out", f"{skipped}"))
    return rows


def _commit(run: Record) -> str:
    commit = run.provenance.get("commit")
    if not commit:
        return "unknown"
    return commit[:10] + (" with local changes" if run.provenance.get("dirty") else "")


def _tally(values: Iterable[Any]) -> str:
    counts: dict[str, int] = {}
    for value in values:
        counts[str(value)] = counts.get(str(value), 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{value} ({words.count(number, 'run')})" for value, number in ordered) or "–"
