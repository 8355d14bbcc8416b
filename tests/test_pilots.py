"""The table of pilots in docs/method.md is that of their records."""

from pathlib import Path
from statistics import mean

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


def row(records: list[Record]) -> str:
    run = records[0].run
    seeds = ", ".join(str(seed) for seed in sorted(record.seed for record in records))
    train = 100 * mean(record.train.top1 for record in records if record.train)
    val = 100 * mean(record.val.top1 for record in records if record.val)
    recipe = f"{run.recipe.epochs} | {run.recipe.lr:g}"
    return (
        f"| {run.data.train_limit:,} | {arm(records[0])} | {recipe} | {seeds} | {train:.1f} % "
        f"| {val:.1f} % | {100 * (val - train) / val:.0f} % |"
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
