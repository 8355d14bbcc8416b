"""Folders of runs with constructed records."""

import shutil
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import FINGERPRINT, make_record, make_result, save_study

from ablations.claims.gates import Check
from ablations.claims.results import ClaimResult, StudyResult
from ablations.config import Config
from ablations.record import Record
from ablations.stats.labels import Comparison, decide


class Folder:
    """A folder of runs with constructed records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)

    def add(
        self,
        error: float,
        seed: int,
        *,
        arm: str = "baseline",
        experiment: str = "small",
        fingerprint: str = FINGERPRINT,
        dataset: str = "CIFAR-10 (JPEG)",
        lr: float | None = None,
        **changes: Any,
    ) -> Record:
        """Write a record; errors vary between seeds by some tenths of a point."""
        base = Config().run
        # A different learning rate for each arm and experiment makes run ids unique.
        rate = lr or 0.001 + sum(map(ord, arm + experiment)) / 1e6
        run = replace(
            base,
            seed=seed,
            fingerprint=fingerprint,
            recipe=replace(base.recipe, lr=rate),
            data=replace(base.data, name=dataset),
        )
        error += 0.004 * float(np.random.default_rng(seed).standard_normal())
        record = make_record(
            run, error + 0.01, error - 0.08, error, ten_view=error, experiment=experiment, arm=arm,
            **changes,
        )  # fmt: skip
        folder = self.path / record.run_id
        folder.mkdir(exist_ok=True)
        record.save(folder)
        return record

    def study(self, *results: ClaimResult, **changes: Any) -> StudyResult:
        """Append a study to ``verdicts.json``."""
        return save_study(self.path, results, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder of runs."""
    return Folder(tmp_path / "runs")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ``study``; read-only."""
    folder = Folder(tmp_path_factory.mktemp("study") / "runs")
    write_study(folder)
    return folder.path


@pytest.fixture
def study(written: Path, tmp_path: Path) -> Folder:
    """A study with all labels, a time, parts, a gap, a control and an excluded claim."""
    shutil.copytree(written, tmp_path / "runs")
    return Folder(tmp_path / "runs")


def write_study(folder: Folder) -> None:
    """Write the study of the fixture ``study``."""
    rng = np.random.default_rng(1)

    def arm(mean: float, n: int = 5, sd: float = 0.001) -> list[float]:
        return [float(mean + sd * x) for x in rng.standard_normal(n)]

    def pairs(without: float, with_: float, **spread: Any) -> dict[str, Any]:
        return {"": (arm(without, **spread), arm(with_, **spread))}

    base = [folder.add(0.25, seed) for seed in range(100, 105)]
    other = [folder.add(0.28, seed, arm="pooling=nonoverlap") for seed in range(100, 105)]
    tanh = [folder.add(0.30, seed, arm="activation=tanh") for seed in range(100, 105)]
    folder.add(0.2, 1000, arm="activation=tanh recipe.lr=0.03")
    runs = {"with": base, "without": other}
    ratios = np.log(np.array(arm(0.1)) / np.array(arm(0.09)))
    top5 = Comparison("lrn_lowers_error", dict(enumerate(ratios)), margin=log(1.03), part="top-5")
    learns = Check("learns", True, "no arm is at chance, none diverged throughout")
    grew = Check("trained out", True, "the validation error changes by -1.2%; within ±5%")
    grows = Check("trained out", False, "changes by -27.3% [-48.0%, +1.6%]; passes within ±5%")
    folder.study(
        make_result(
            "lrn_lowers_error",
            pairs(0.28, 0.25),
            section="3.3",
            names=("baseline", "norm=none"),
            runs=runs,
            confounds={
                "one run": "One run per arm in the paper.",
                "norm": "A second norm, never mentioned.",
            },
            secondary=decide([top5], 1),
            effect5=2 * top5.margin,
            chance=[0.31, 0.92],
            checks=[learns, grew],
            history="looked at 3 and 5 pairs; earlier study of the same claim on these data: old",
        ),
        make_result(
            "overlap_pooling_lowers_error",
            pairs(0.2525, 0.25, sd=0.004),
            runs=runs,
            margin=log(1.005),
            chance=[0.01, 0.02],
            warnings=["with the technique the best recipe.lr=0.04 is on the edge of its grid"],
        ),
        make_result(
            "color_augmentation_lowers_error", pairs(0.25, 0.2505, n=8), section="4.1", runs=runs
        ),
        make_result(
            "dropout_curbs_overfitting",
            {"": ([0.06] * 5, [0.08] * 5)},
            section="4.2",
            scale="relative",
            margin=0.1,
            measure={"of": "gap"},
            effect=None,
            differences={"gap": arm(-0.3, sd=0.01), "test error": arm(0.05, sd=0.01)},
            runs=runs,
        ),
        make_result(
            "each_middle_convolution_matters",
            {"conv3": pairs(0.28, 0.25)[""], "conv4": pairs(0.2535, 0.25, sd=0.0005)[""]},
            section="3.5, 7",
        ),
        make_result(
            "crops_and_flips_curb_overfitting",
            {"": ([], [])},
            section="4.1, crops",
            checks=[learns, grows],
            comparison={"obstacle": "trained out: changes by -27.3%"},
        ),
        make_result("two_towers_beat_half_the_kernels", pairs(0.28, 0.25, n=2), section="3.2"),
        make_result(
            "relu_trains_faster_than_tanh",
            {"": ([8.1, 8.4, 7.9, 8.8, None], [2.0, 1.9, 2.2, 2.1, 2.0])},
            section="3.1, Figure 1",
            margin=log(2.45),
            effect=log(6),
            measure={"of": "epochs_to_error", "target": 0.25},
            names=("baseline", "activation=tanh"),
            runs={"with": base, "without": tanh},
            differences={"": [log(x / 2) for x in (8.1, 8.4, 7.9, 8.8, 10.0)]},
            comparison={"high_holds": False},
        ),
        make_result("batchnorm_beats_lrn", pairs(0.28, 0.24), family="extension"),
        make_result("placebo_changes_nothing", pairs(0.25, 0.25), family="control", claims=1),
        make_result("ensembles_lower_error", {}, section="6", excluded="too few seeds"),
    )
