"""The results for other programs: ``runs.csv`` and ``verdicts.csv``.

``docs/sharing.md`` documents the columns.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ablations.claims.words import label_interval
from ablations.record import VIEWS, Record
from ablations.reporting.claims import Row, rows_of
from ablations.reporting.evidence import Arm, Evidence, Section

RUNS = (
    *("study", "arm", "run_id", "experiment", "seed", "status", "differences"),
    *("data", "fingerprint", "numerics", "parameters", "epochs", "steps", "samples"),
    *(f"{split}_{what}" for split in ("train", "val") for what in ("top1", "top5", "loss")),
    *(f"{view}_{what}" for view in VIEWS for what in ("top1", "top5", "loss")),
    *("evaluation", "seconds", "images_per_second", "device", "devices", "commit", "time"),
)
VERDICTS = (
    *("study", "data", "claim", "row", "part", "section", "family", "technique", "label", "n"),
    *("unit", "estimate", "low", "high", "margin", "paper", "paper_data", "points"),
    *("error_rate", "sd", "df", "final", "reason"),
)


def runs_csv(evidence: Evidence) -> str:
    """Return ``runs.csv``: a line for each run of the arms of each section."""
    return _csv(
        RUNS,
        (
            _run(section, arm, run)
            for section in evidence.sections
            for arm in section.arms
            for run in arm.runs
        ),
    )


def verdicts_csv(evidence: Evidence) -> str:
    """Return ``verdicts.csv``: a line for each row of the tables of claims, in their order."""
    return _csv(
        VERDICTS,
        (
            _verdict(section, row)
            for section in evidence.sections
            for result in [*section.shown, *section.excluded]
            for row in rows_of(result)
        ),
    )


def _run(section: Section, arm: Arm, run: Record) -> dict[str, Any]:
    scores = {"train": run.train, "val": run.val}
    scores |= {view: run.test.get(view) for view in VIEWS}
    errors = {
        f"{split}_{what}": getattr(found, what)
        for split, found in scores.items()
        if found
        for what in ("top1", "top5", "loss")
    }
    if run.status == "diverged":  # as the tables of the report count it
        errors |= {f"{view}_top{k}": run.test_error(view, k) for view in VIEWS for k in (1, 5)}
    return {
        **{name: getattr(run, name) for name in RUNS if hasattr(run, name)},
        **errors,
        "study": section.name,
        "arm": arm.name,
        "differences": json.dumps(run.differences, sort_keys=True),
        "data": run.data.name,
        "fingerprint": run.data.fingerprint,
        "device": run.hardware.device,
        "devices": run.hardware.devices,
        "commit": run.provenance.get("commit"),
        "time": run.provenance.get("time"),
    }


def _verdict(section: Section, row: Row) -> dict[str, Any]:
    result, verdict = row.result, row.verdict
    values = {
        **{name: getattr(result, name) for name in ("claim", "section", "family", "technique")},
        "study": section.name,
        "data": section.dataset,
        "row": row.level,
        "label": result.word,
        "n": result.n,
        "part": verdict.part if verdict else "",
        "unit": result.unit_of().replace("×", "ratio"),
        "paper": result.to_reader(result.effect),
        "paper_data": "own" if result.at_paper else "other",
    }
    if verdict:
        low, high = (result.to_reader(end) for end in label_interval(verdict))
        values |= {
            **{name: getattr(verdict, name) for name in ("sd", "df", "final", "reason")},
            "estimate": result.to_reader(verdict.estimate),
            "low": low,
            "high": high,
            "margin": result.to_reader(verdict.margin),
            "error_rate": verdict.level,
        }
        if row.level != "secondary" and (points := result.points.get(verdict.part)) is not None:
            values["points"] = 100 * points
    return values


def _csv(columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
