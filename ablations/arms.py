"""Names of arms: by what sets one run apart from another."""

from collections.abc import Sequence
from typing import Any

from ablations.config import SIZES, Run


def arm_labels(runs: Sequence[Run]) -> list[str] | None:
    """Name runs by the keys in which they differ from one another, ``pooling=overlap`` included.

    The seed is no such key. None when they differ in nothing else.
    """
    flat = [_flat(run) for run in runs]
    varying = [key for key in flat[0] if any(f[key] != flat[0][key] for f in flat)]
    if not varying:
        return None
    return [" ".join(f"{key}={_word(f[key])}" for key in varying) for f in flat]


def difference(run: Run, base: Run) -> str:
    """Name an arm by what sets it apart from ``base``: ``pooling=nonoverlap recipe.lr=0.02``.

    The seed, the replicate and the name and place of the data are left out; ``baseline`` stands
    for no difference.
    """
    ours, theirs = _flat(run), _flat(base)
    parts = [f"{key}={_word(value)}" for key, value in ours.items() if theirs.get(key) != value]
    return " ".join(parts) or "baseline"


def _flat(run: Run) -> dict[str, Any]:
    values = run.to_dict()
    flat = values.pop("techniques")
    flat |= {f"data.{key}": values["data"][key] for key in SIZES}
    flat |= {f"recipe.{key}": value for key, value in values["recipe"].items()}
    rest = ("model", "width", "init", "pretrained")
    return flat | {key: values[key] for key in rest}


def _word(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
