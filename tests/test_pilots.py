"""What docs/method.md and the main study say of the pilots is what their records say."""

from collections.abc import Callable
from math import log, sqrt
from pathlib import Path
from statistics import mean

import pytest

from ablations.claims.files import read_study, study_files
from ablations.record import Record, load_all

ROOT = Path(__file__).resolve().parents[1]
VARIED = ("data.train_limit", "recipe.epochs", "recipe.lr", "seed")
# What all pilots have in common, as differences from the frozen table of config.py.
COMMON = {
    "edition": "released",
    "model": "alexnet_small",
    "width": 0.25,
    "data.fingerprint": "c56bfc1b84c62b9d4f99a87693b42ca1e25dc3876e3c75493ed81363e0859ae6",
    "data.size": 32,
    "data.crop": 24,
    "data.val_size": 5000,
    "recipe.bias_lr_mult": 2.0,
    "recipe.schedule": "step",
    "recipe.milestones": [0.6, 0.85],
    "recipe.precision": "bf16",
}


def arm(record: Record) -> str:
    others = {key: value for key, value in record.differences.items() if key not in VARIED}
    assert COMMON.items() <= others.items()
    return " ".join(f"{k}={v}" for k, v in others.items() if k not in COMMON) or "baseline"


def train(record: Record) -> float:
    assert record.train is not None
    return record.train.top1


def row(records: list[Record]) -> str:
    run = records[0].run
    seeds = ", ".join(str(seed) for seed in sorted(record.seed for record in records))
    fitted = 100 * mean(map(train, records))
    val = 100 * mean(record.val.top1 for record in records if record.val)
    recipe = f"{run.recipe.epochs} | {run.recipe.lr:g}"
    return (
        f"| {run.data.train_limit:,} | {arm(records[0])} | {recipe} | {seeds} | {fitted:.1f} % "
        f"| {val:.1f} % | {100 * (val - fitted) / val:.0f} % |"
    )


def test_the_table_of_pilots_is_that_of_their_records():
    groups: dict[tuple, list[Record]] = {}
    for record in load_all(ROOT / "results" / "pilots"):
        recipe = record.run.recipe
        key = record.run.data.train_limit, arm(record), recipe.epochs, recipe.lr
        groups.setdefault(key, []).append(record)
    text = (ROOT / "docs" / "method.md").read_text()
    _, _, rest = text.partition("<!-- pilots -->")
    shown = [line for line in rest.partition("<!-- /pilots -->")[0].splitlines() if "%" in line]
    assert sorted(shown) == sorted(map(row, groups.values()))
    assert all(record.seed >= 1000 for records in groups.values() for record in records)


def test_planning_deviations_are_those_between_two_seeds_of_the_baselines():
    groups: dict[tuple, list[Record]] = {}
    for record in load_all(ROOT / "results" / "pilots"):
        if arm(record) == "baseline":
            key = record.run.data.train_limit, record.run.recipe.epochs, record.run.recipe.lr
            groups.setdefault(key, []).append(record)

    def deviation(read: Callable[[Record], float]) -> float:
        return sqrt(mean((read(one) - read(other)) ** 2 for one, other in groups.values()))

    def center(record: Record) -> float:
        return record.test["center"].top1

    def ten_view(record: Record) -> float:
        return record.test["ten_view"].top1

    study, _ = read_study(study_files()["main"])
    planned = {name: plan.planning_sd for name, plan in study.claims.items()}
    gap = deviation(lambda r: (center(r) - train(r)) / center(r))
    assert study.planning_sd == pytest.approx(deviation(lambda r: log(ten_view(r))), abs=0.0025)
    assert planned["dropout_curbs_overfitting"] == pytest.approx(gap, abs=0.0025)
    assert planned["ten_views_lower_error"] == pytest.approx(
        deviation(lambda r: log(ten_view(r) / center(r))), abs=0.0025
    )
    assert planned["weight_decay_lowers_training_error"] == pytest.approx(
        deviation(lambda r: log(train(r))), abs=0.005
    )
    assert planned["neighbors_in_features_share_classes"] == pytest.approx(
        deviation(lambda r: r.neighbors.features - r.neighbors.pixels if r.neighbors else 0),
        abs=0.0025,
    )
    assert planned["towers_specialize"] == pytest.approx(
        deviation(lambda r: abs(r.colors[0] - r.colors[1])), abs=0.005
    )
