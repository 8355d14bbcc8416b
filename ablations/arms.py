"""Names of arms: the keys in which runs differ."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ablations.config import SIZES, Recipe, Run
from ablations.techniques import Techniques

# Keys that tell arms apart, in the order of a name. The seed, the replicate and the name and place
# of the data do not.
_KEYS = (
    *(technique.name for technique in fields(Techniques)),
    *(f"data.{key}" for key in SIZES),
    *(f"recipe.{entry.name}" for entry in fields(Recipe)),
    *("model", "width", "init", "pretrained", "callbacks"),
)


def arm_labels(runs: Sequence[Run]) -> list[str] | None:
    """Name runs by the keys in which they differ from one another, ``pooling=overlap`` included.

    Returns:
        A name for each run, or None when they differ in their seeds at most.
    """
    varying = [key for key in _KEYS if any(run.flat[key] != runs[0].flat[key] for run in runs)]
    return [_name(run, varying) for run in runs] if varying else None


def difference(run: Run, base: Run) -> str:
    """Name an arm by its difference from ``base``: ``pooling=nonoverlap recipe.lr=0.02``.

    ``baseline`` stands for no difference.
    """
    return _name(run, [key for key in _KEYS if run.flat[key] != base.flat[key]]) or "baseline"


def _name(run: Run, keys: Sequence[str]) -> str:
    return " ".join(f"{key}={_word(run.flat[key])}" for key in keys)


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(map(_callback, value.values())) or "none"
    return "null" if value is None else str(value)


def _callback(values: dict[str, Any]) -> str:
    arguments = [f"{key}={value}" for key, value in values.items() if key != "_target_"]
    return f"{values['_target_'].rpartition('.')[2]}({','.join(arguments)})"
