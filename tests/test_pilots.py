"""The planning deviations of the study `main` are those of its pilots."""

from collections.abc import Callable
from math import log, nan, sqrt
from pathlib import Path
from statistics import mean

import pytest

from ablations.claims.files import read_study, study_files
from ablations.record import Record, load_all

ROOT = Path(__file__).resolve().parents[1]
VARIED = {"data.train_limit", "recipe.epochs", "recipe.lr", "seed"}
COMMON = {
    *("edition", "model", "width", "data.fingerprint", "data.size", "data.crop", "data.val_size"),
    *("recipe.bias_lr_mult", "recipe.schedule", "recipe.milestones", "recipe.precision"),
}


def test_planning_deviations_are_those_between_two_seeds_of_the_baselines() -> None:
    groups: dict[tuple, list[Record]] = {}
    for record in load_all(ROOT / "results" / "pilots"):
        if record.differences.keys() <= COMMON | VARIED:  # the baseline
            recipe = record.run.recipe
            key = record.run.data.train_limit, recipe.epochs, recipe.lr
            groups.setdefault(key, []).append(record)

    def deviation(read: Callable[[Record], float]) -> float:
        return sqrt(mean((read(one) - read(other)) ** 2 for one, other in groups.values()))

    def center(record: Record) -> float:
        return record.test["center"].top1

    def ten_view(record: Record) -> float:
        return record.test["ten_view"].top1

    def train(record: Record) -> float:
        return record.train.top1 if record.train else nan

    def agreement(record: Record) -> float:
        return record.neighbors.features - record.neighbors.pixels if record.neighbors else nan

    study, _ = read_study(study_files()["main"])
    planned = {name: plan.planning_sd for name, plan in study.claims.items()}
    assert study.planning_sd == pytest.approx(deviation(lambda r: log(ten_view(r))), abs=0.0025)
    for name, read, tolerance in (
        ("dropout_curbs_overfitting", lambda r: (center(r) - train(r)) / center(r), 0.0025),
        ("ten_views_lower_error", lambda r: log(ten_view(r) / center(r)), 0.0025),
        ("weight_decay_lowers_training_error", lambda r: log(train(r)), 0.005),
        ("neighbors_in_features_share_classes", agreement, 0.0025),
        ("towers_specialize", lambda r: abs(r.colors[0] - r.colors[1]), 0.005),
    ):
        assert planned[name] == pytest.approx(deviation(read), abs=tolerance)
