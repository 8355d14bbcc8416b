"""Studies written by hand: records and verdicts without a training."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablations.config import Config, Run
from ablations.record import CurvePoint, Record, Scores
from ablations.stats.decide import decide
from ablations.stats.pairs import Comparison
from ablations.study.verdicts import ArmResult, Result, StudyResult

FINGERPRINT = "e8b54433d374" + "0" * 52
OTHER = "0123456789ab" + "0" * 52


def make_record(
    run: Run, *, experiment: str, arm: str, error: float, status: str = "finished", **changes: Any
) -> Record:
    """A record of ten epochs that ends at ``error``, with seeds a point apart."""
    rng = np.random.default_rng(run.seed)
    error += 0.004 * float(rng.standard_normal())
    train = error - 0.08

    def scores(top1: float, count: int) -> Scores:
        return Scores(top1, top1 / 3, 2 * top1, count)

    curve = [
        CurvePoint(
            epoch,
            1000 * epoch,
            3.0 * epoch,
            0.01,
            scores(train + 0.5 / epoch, 1000),
            scores(error + 0.4 / epoch, 500),
        )
        for epoch in range(1, 11)
    ]
    values: dict[str, Any] = {
        "run_id": run.run_id,
        "status": status,
        "experiment": experiment,
        "arm": arm,
        "seed": run.seed,
        "run": run.to_dict(),
        "parameters": 1_796_458,
        "classes": 10,
        "epochs": 10,
        "samples": 10_000,
        "train": scores(train, 1000),
        "val": scores(error, 500),
        "test": {"center": scores(error + 0.01, 2000), "ten_view": scores(error, 2000)},
        "curve": curve,
        "seconds": 30.0,
        "images_per_second": 333.0,
        "devices": 1,
        "device": "a machine",
        "skipped": 0,
        "missed": {},
        "provenance": {
            "versions": {"python": "3.11", "torch": "2.15.0"},
            "numerics": 1,
            "time": "2012-12-03T10:00:00+00:00",
            "commit": "8e073b8cf080eab56cc7fe16dc4a443d86ee675c",
            "dirty": False,
        },
    }
    if status == "diverged":
        values |= {"train": None, "val": None, "test": {}, "curve": curve[:2]}
    return Record(**(values | changes))


class Folder:
    """A folder of runs that is filled by hand.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)

    def add(
        self,
        error: float,
        seed: int,
        *,
        arm: str = "paper",
        experiment: str = "cifar10_small",
        fingerprint: str = FINGERPRINT,
        dataset: str = "CIFAR-10 (JPEG)",
        **changes: Any,
    ) -> Record:
        """Write one record."""
        base = Config().run
        # Any number that is another for every arm and experiment keeps the run ids apart.
        recipe = replace(base.recipe, lr=0.001 + sum(map(ord, arm + experiment)) / 1e6)
        data = replace(base.data, name=dataset)
        run = replace(base, seed=seed, fingerprint=fingerprint, recipe=recipe, data=data)
        record = make_record(run, experiment=experiment, arm=arm, error=error, **changes)
        folder = self.path / record.run_id
        folder.mkdir(exist_ok=True)
        record.save(folder)
        return record

    def decide(
        self,
        comparisons: dict[Comparison, dict[str, Any]],
        *,
        experiment: str = "cifar10_small",
        dataset: str = "CIFAR-10 (JPEG)",
        excluded: tuple[Result, ...] = (),
    ) -> None:
        """Write ``verdicts.json``; what is not given of a result is made up."""
        verdicts = decide(list(comparisons))
        results = [
            _result(comparison, verdict.to_dict(), given)
            for (comparison, given), verdict in zip(comparisons.items(), verdicts, strict=True)
        ]
        families: dict[str, list[str]] = {}
        for result in results:
            families.setdefault(result.family, []).append(result.name)
        results = [replace(one, adjusted_with=families[one.family]) for one in results]
        study = StudyResult(
            experiment=experiment,
            changes="paper",
            baseline="",
            first_seed=0,
            tuning_seeds=[1000, 1001],
            data=dataset,
            fingerprint=FINGERPRINT,
            alpha=0.05,
            results=[*results, *excluded],
        )
        path = self.path / "verdicts.json"
        before = json.loads(path.read_text())["studies"] if path.exists() else []
        content = {"layout": 1, "studies": [*before, study.to_dict()]}
        path.write_text(json.dumps(content, allow_nan=False))


class _Key(Comparison):
    """A comparison that a dictionary takes as a key."""

    __hash__ = object.__hash__


def compare(claim: str, without: list[float], with_technique: list[float], **rest: Any) -> _Key:
    """A comparison over seeds 0, 1, ..."""
    return _Key(
        claim,
        dict(enumerate(without)),
        dict(enumerate(with_technique)),
        **({"looks": (3, 5, 8)} | rest),
    )


def _result(comparison: Comparison, verdict: dict[str, Any], given: dict[str, Any]) -> Result:
    arms = given.pop("runs", {})
    values = {"without": comparison.without, "with": comparison.with_technique}
    family = given.pop("family", comparison.family)
    comparable = given.pop("comparable", True)
    paper = given.pop("paper", comparison.paper)
    measure = {"metric": "top1", "split": "test", "direction": "lower", "epoch": None}
    return Result(
        **{
            "claim": comparison.claim,
            "part": "",
            "statement": f"What {comparison.claim} says.",
            "section": "3.4",
            "technique": "pooling",
            "kind": comparison.kind,
            "family": family,
            "paper": {
                "says": "errors fall",
                "effect": paper,
                "data": "ILSVRC-2010",
                "comparable": comparable,
            },
            "confounds": ["One run per arm in the paper."],
            "status": "decided",
            "rule": {
                "measure": measure | given.pop("measure", {}),
                "target": given.pop("target", None),
                "margin": comparison.margin,
                "looks": list(comparison.looks),
                "with": [],
                "without": ["pooling=nonoverlap"],
            },
            "rule_hash": "0a1b2c3d4e5f",
            "arms": {
                side: ArmResult(
                    label="paper" if side == "with" else given.get("label", "pooling=nonoverlap"),
                    runs={record.seed: [record.run_id] for record in arms.get(side, ())},
                    values={
                        seed: value if np.isfinite(value) else None
                        for seed, value in values[side].items()
                    },
                )
                for side in values
            },
            "verdict": verdict,
            **{key: value for key, value in given.items() if key != "label"},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder of runs."""
    return Folder(tmp_path / "runs")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``study``; not to be written to."""
    folder = Folder(tmp_path_factory.mktemp("study") / "runs")
    write_study(folder)
    return folder.path


@pytest.fixture
def study(written: Path, tmp_path: Path) -> Folder:
    """A study with every verdict, a time, a ratio, a control and a claim that was left out."""
    shutil.copytree(written, tmp_path / "runs")
    return Folder(tmp_path / "runs")


@pytest.fixture(name="compare")
def compare_fixture() -> Callable[..., Comparison]:
    """Makes a comparison over seeds 0, 1, ..."""
    return compare


def write_study(folder: Folder) -> None:
    """Write what the fixture ``study`` promises."""
    rng = np.random.default_rng(1)

    def arm(mean: float, n: int = 5, sd: float = 0.003) -> list[float]:
        return [float(mean + sd * x) for x in rng.standard_normal(n)]

    base = [folder.add(0.25, seed) for seed in range(5)]
    other = [folder.add(0.28, seed, arm="pooling=nonoverlap") for seed in range(5)]
    tanh = [folder.add(0.30, seed, arm="activation=tanh") for seed in range(5)]
    folder.add(0.2, 1000, arm="activation=tanh recipe.lr=0.03")
    runs = {"with": base, "without": other}
    folder.decide(
        {
            compare("lrn_lowers_error", arm(0.28), arm(0.25), margin=0.007): {
                "runs": runs,
                "section": "3.3",
                "label": "norm=none",
                "comparable": False,
                "paper": 0.014,
                "confounds": ["One run per arm in the paper.", "A second norm, never mentioned."],
            },
            compare("overlap_pooling_lowers_error", arm(0.2525), arm(0.25), paper=0.004): {
                "runs": runs,
            },
            compare(
                "color_augmentation_lowers_error",
                arm(0.25, 8),
                arm(0.252, 8),
                margin=0.008,
                paper=0.01,
            ): {"section": "4.1", "runs": runs},
            compare("dropout_curbs_overfitting", arm(0.06), arm(0.08), kind="gap", margin=0.01): {
                "section": "4.2",
                "runs": runs,
                "notes": ["a note of the study"],
            },
            compare(
                "two_towers_beat_half_the_kernels",
                arm(0.27, 8, 0.001),
                arm(0.262, 8, 0.001),
                paper=0.06,
                margin=0.03,
            ): {"section": "3.2"},
            compare(
                "relu_trains_faster_than_tanh",
                [8.1, 8.4, 7.9, 8.8, 10.0],
                [2.0, 1.9, 2.2, 2.1, 2.0],
                kind="time_to_target",
                paper=6.0,
                margin=2.45,
                budget=10.0,
                unit="epochs",
            ): {
                "section": "3.1, Figure 1",
                "target": 0.25,
                "measure": {"split": "running"},
                "runs": {"with": base, "without": tanh},
                "label": "activation=tanh",
            },
            compare(
                "batchnorm_beats_lrn", arm(0.26), arm(0.24), margin=0.01, family="exploratory"
            ): {"section": "extension"},
            compare(
                "placebo_changes_nothing", arm(0.25), arm(0.25), margin=0.005, family="exploratory"
            ): {"section": "control", "family": "control"},
        },
        excluded=(
            Result(
                "ensembles_lower_error",
                "",
                "Ensembles help.",
                "6",
                "ensemble",
                "difference",
                "confirmatory",
                {"says": "1.9 points", "effect": 0.019, "data": "ILSVRC-2012", "comparable": False},
                [],
                "excluded",
                reason="too few seeds for an ensemble",
            ),
        ),
    )
