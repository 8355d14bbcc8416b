"""Records and results of claims made by hand, without a training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from ablations.claims.results import LAYOUT, VERDICTS, ArmResult, ClaimResult, StudyResult
from ablations.config import NUMERICS, Run
from ablations.record import (
    CurvePoint,
    DataInfo,
    Hardware,
    OnlineLoss,
    Record,
    Scores,
    describe_data,
    pack,
)
from ablations.stats.labels import Comparison, decide, joint

FINGERPRINT = "e8b54433d374" + "0" * 52


def make_scores(top1: float, count: int = 2000) -> Scores:
    """Return scores whose other values follow from the top-1 error."""
    top1 = min(top1, 1.0)
    return Scores(top1, top1 / 3, 2 * top1, count)


def make_record(
    run: Run,
    test: float = 0.25,
    train: float = 0.17,
    val: float | None = None,
    *,
    ten_view: float | None = None,
    epochs: int = 10,
    experiment: str = "smoke",
    arm: str = "baseline",
    status: str = "finished",
    data: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """Return a record of schema 2, its id computed from the run.

    Args:
        run: The run; its fingerprint and the name of its data are kept.
        test: Top-1 test error, center view.
        train: Top-1 training error.
        val: Top-1 validation error; the test error by default.
        ten_view: Top-1 test error in ten views; the center view's by default.
        epochs: Points of the curve, which ends at ``train`` and ``val``.
        experiment: Name of the experiment or study.
        arm: Name of the arm.
        status: ``finished`` or ``diverged``.
        data: Fields of :class:`DataInfo` that differ from the default.
        changes: Other fields.
    """
    val = test if val is None else val
    counted = {"classes": 10, "train_images": 1000, "val_images": 500, "test_images": 2000}
    info: DataInfo = replace(describe_data(run, **counted), **(data or {}))
    curve = [
        CurvePoint(
            epoch=epoch,
            samples=1000 * epoch,
            seconds=3.0 * epoch,
            lr=0.01,
            train=make_scores(train + 0.5 * (1 / epoch - 1 / epochs), info.train_images),
            val=make_scores(val + 0.4 * (1 / epoch - 1 / epochs), info.val_images),
        )
        for epoch in range(1, epochs + 1)
    ]
    diverged = status == "diverged"
    values: dict[str, Any] = {
        "run_id": run.run_id,
        "numerics": NUMERICS,
        "status": status,
        "experiment": experiment,
        "arm": arm,
        "seed": run.seed,
        "differences": run.differences,
        "evaluation": run.techniques.evaluation.value,
        "data": info,
        "parameters": 1_796_458,
        "epochs": epochs,
        "steps": 10 * epochs,
        "samples": 1000 * epochs,
        "train": None if diverged else make_scores(train, info.train_images),
        "val": None if diverged else make_scores(val, info.val_images),
        "test": {}
        if diverged
        else {
            "center": make_scores(test, info.test_images),
            "ten_view": make_scores(test if ten_view is None else ten_view, info.test_images),
        },
        "curve": curve[:2] if diverged else curve,
        "online_loss": OnlineLoss([10, 20, 30], [2.3, 1.6, 1.2]),
        "labels": _labels(info.test_images, info.classes),
        "predicted": {},
        "colors": [] if diverged else [0.5, 0.6],
        "neighbors": None,
        "seconds": 30.0,
        "evaluation_seconds": 1.0,
        "images_per_second": 333.0,
        "hardware": Hardware("cpu", "a machine", 1, 1, ["avx2"]),
        "provenance": {
            "versions": {"python": "3.11", "torch": "2.15.0"},
            "time": "2012-12-03T10:00:00+00:00",
            "commit": "8e073b8cf080eab56cc7fe16dc4a443d86ee675c",
            "dirty": False,
        },
    }
    return Record(**(values | changes))


@cache
def _labels(images: int, classes: int) -> str:
    return pack(np.arange(images) % classes)


# A number for each seed of an arm, from seed 100 on; None for a target that was not reached.
Values = Sequence[float | None]


def make_result(
    claim: str,
    arms: Mapping[str, tuple[Values, Values]],
    *,
    scale: str = "ratio",
    margin: float = log(1.017),
    looks: Sequence[int] = (3, 5, 8),
    measure: Mapping[str, Any] | None = None,
    paper: Mapping[str, Any] | None = None,
    names: tuple[str, str] = ("baseline", "pooling=nonoverlap"),
    runs: Mapping[str, Sequence[Record]] | None = None,
    differences: Mapping[str, Sequence[float]] | None = None,
    comparison: Mapping[str, Any] | None = None,
    claims: int = 4,
    **changes: Any,
) -> ClaimResult:
    """Return the result of a claim, judged by the rule.

    Args:
        claim: Its name.
        arms: Values of the arms without and with the technique, by part.
        scale: ``ratio``, ``points``, ``relative`` or ``plain``.
        margin: On the scale of the analysis.
        looks: Looks of the plan.
        measure: Fields of the measure that differ from a lower test error.
        paper: Fields of what the paper says that differ from the default.
        names: Names of the arms with and without the technique.
        runs: Records ``with`` and ``without`` the technique, for the ids.
        differences: Of the verdicts by part; computed from ``arms`` by default.
        comparison: Further fields of the comparisons.
        claims: Claims of the family.
        changes: Other fields of the result.
    """
    seeds = range(100, 200)
    measure = {"of": "test_error", "direction": "lower", "curve": "online", "target": None} | dict(
        measure or {}
    )
    if differences is None:
        take = (lambda a, b: log(a / b)) if scale == "ratio" else (lambda a, b: a - b)
        differences = {
            part: [take(*ends) for ends in zip(without, with_, strict=True) if None not in ends]
            for part, (without, with_) in arms.items()
        }
    comparisons = [
        Comparison(
            claim=claim,
            differences=dict(zip(seeds, values, strict=False)),
            margin=margin,
            looks=tuple(looks),
            part=part,
            **(comparison or {}),
        )
        for part, values in differences.items()
    ]
    verdicts = decide(comparisons, claims)
    ids = {
        side: {record.seed: [record.run_id] for record in (runs or {}).get(side, ())}
        for side in ("with", "without")
    }
    given: dict[str, Any] = {
        "claim": claim,
        "statement": f"What {claim} says.",
        "section": "3.4",
        "family": "paper",
        "technique": "pooling",
        "measure": measure,
        "paper": {"says": "errors fall", "data": "ILSVRC-2010"} | dict(paper or {}),
        "confounds": {"one run": "One run per arm in the paper."},
        "at_paper": False,
        "scale": scale,
        "margin": margin,
        "margin_reason": "half of the paper's effect",
        "effect": 2 * margin,
        "effect5": None,
        "target": measure["target"],
        "looks": list(looks),
        "attempt": "0a1b2c3d4e5f",
        "rule": {},
        "alpha": 0.05,
        "claims_in_family": claims,
        "label": joint(verdicts).value if verdicts else "",
        "verdicts": verdicts,
        "points": {part: _mean_difference(*pair) for part, pair in arms.items()}
        if measure["of"] == "test_error"
        else {},
        "arms": {
            part: {
                side: ArmResult(
                    name=name,
                    tuned="recipe.lr=0.01",
                    scores={"0.005": 0.31, "0.01": 0.29, "0.02": 0.3},
                    runs=ids[side],
                    values=dict(zip(seeds, values, strict=False)),
                )
                for side, name, values in zip(
                    ("without", "with"), reversed(names), pair, strict=True
                )
            }
            for part, pair in arms.items()
        },
    }
    return ClaimResult(**(given | changes))


def _mean_difference(without: Values, with_: Values) -> float | None:
    pairs = [a - b for a, b in zip(without, with_, strict=True) if a is not None and b is not None]
    return sum(pairs) / len(pairs) if pairs else None


def save_study(folder: Path, results: Sequence[ClaimResult], **changes: Any) -> StudyResult:
    """Append a study to the ``verdicts.json`` of a folder."""
    given: dict[str, Any] = {
        "name": "small",
        "title": "Small study",
        "version": 2,
        "experiment": "cifar10_small",
        "changes": ["recipe.epochs=10"],
        "dataset": "CIFAR-10 (JPEG)",
        "fingerprint": FINGERPRINT,
        "first_seed": 100,
        "tuning_seeds": [1000, 1001],
        "claims": [result.claim for result in results],
        "baseline": "0" * 12,
        "commit": "1d9c3ec28fa1c8bbbae99ac54f56de63ad80a0cc",
        "alpha": 0.05,
        "results": list(results),
    }
    study = StudyResult(**(given | changes))
    path = folder / VERDICTS
    before = json.loads(path.read_text())["studies"] if path.exists() else []
    path.write_text(json.dumps({"layout": LAYOUT, "studies": [*before, asdict(study)]}))
    return study
