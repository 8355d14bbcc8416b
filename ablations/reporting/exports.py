"""The results for other programs: ``runs.csv`` and ``verdicts.csv``.

``docs/sharing.md`` documents the columns.
"""

import csv
import io
import json
from typing import Any

from ablations.claims.words import label_interval
from ablations.record import VIEWS, Record
from ablations.reporting.claims import Row, rows_of
from ablations.reporting.evidence import Arm, Evidence, Section


def runs_csv(evidence: Evidence) -> str:
    """Return ``runs.csv``: a line for each run of the arms of each section."""
    arms = [(section, arm) for section in evidence.sections for arm in section.arms]
    return _csv([_run(section, arm, run) for section, arm in arms for run in arm.runs])


def verdicts_csv(evidence: Evidence) -> str:
    """Return ``verdicts.csv``: a line for each row of the tables of claims, in their order."""
    claims = [(s, result) for s in evidence.sections for result in [*s.shown, *s.excluded]]
    return _csv([_verdict(section, row) for section, result in claims for row in rows_of(result)])


def _run(section: Section, arm: Arm, run: Record) -> dict[str, Any]:
    scores = {"train": run.train, "val": run.val}
    scores |= {view: run.test.get(view) for view in VIEWS}
    errors = {
        f"{split}_{what}": getattr(found, what, None)
        for split, found in scores.items()
        for what in ("top1", "top5", "loss")
    }
    if run.status == "diverged":  # as the tables of the report count it
        errors |= {f"{view}_top{k}": run.test_error(view, k) for view in VIEWS for k in (1, 5)}
    return {
        "study": section.name,
        "arm": arm.name,
        **_fields(run, "run_id", "experiment", "seed", "status"),
        "differences": json.dumps(run.differences, sort_keys=True),
        "data": run.data.name,
        "fingerprint": run.data.fingerprint,
        **_fields(run, "numerics", "parameters", "epochs", "steps", "samples"),
        **errors,
        **_fields(run, "evaluation", "seconds", "images_per_second"),
        **_fields(run.hardware, "device", "devices"),
        "commit": run.provenance.get("commit"),
        "time": run.provenance.get("time"),
    }


def _verdict(section: Section, row: Row) -> dict[str, Any]:
    result, verdict = row.result, row.verdict
    low, high = label_interval(verdict) if verdict else (None, None)
    part = verdict.part if verdict else ""
    points = result.points.get(part) if verdict and row.level != "secondary" else None
    return {
        "study": section.name,
        "data": section.dataset,
        "claim": result.claim,
        "row": row.level,
        "part": part,
        **_fields(result, "section", "family", "technique"),
        "label": result.word,
        "n": result.n,
        "unit": result.unit_of().replace("×", "ratio"),
        "estimate": result.to_reader(verdict and verdict.estimate),
        "low": result.to_reader(low),
        "high": result.to_reader(high),
        "margin": result.to_reader(verdict and verdict.margin),
        "paper": result.to_reader(result.effect),
        "paper_data": "own" if result.at_paper else "other",
        "points": None if points is None else 100 * points,
        "error_rate": verdict and verdict.level,
        **_fields(verdict, "sd", "df", "final", "reason"),
    }


def _fields(entry: object, *names: str) -> dict[str, Any]:
    """Return attributes by name, None for each that ``entry`` does not have."""
    return {name: getattr(entry, name, None) for name in names}


def _csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
