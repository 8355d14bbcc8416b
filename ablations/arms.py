"""Names of arms: the keys in which runs differ."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import fields
from typing import Any

from ablations.config import SIZES, Recipe, Run
from ablations.techniques import Techniques

BASELINE = "baseline"
# Keys whose values distinguish arms, in the order in which names list them; not the seed, the
# replicate, or the name and place of the data.
_TECHNIQUES = dict.fromkeys(technique.name for technique in fields(Techniques)).keys()
_KEYS = (
    *_TECHNIQUES,
    *(f"data.{key}" for key in SIZES),
    *(f"recipe.{entry.name}" for entry in fields(Recipe)),
    *("model", "width", "init", "pretrained", "callbacks"),
)


def arm_labels(runs: Sequence[Run], bases: Sequence[Run]) -> list[str]:
    """Name the runs of a command by the swept keys.

    If the baseline is among the runs, its name lists the swept keys and the others are named by
    what they change in it: ``baseline (pooling=overlap)``, ``pooling=nonoverlap``. Otherwise each
    name lists all swept keys. Runs that differ in their seeds at most are named by what they change
    in the experiment, apart from the data.

    Args:
        runs: The runs.
        bases: The run of the unchanged experiment behind each.
    """
    swept = [key for key in _KEYS if any(run.flat[key] != runs[0].flat[key] for run in runs)]
    named = swept or [key for key in _KEYS if not key.startswith("data.")]
    changed = [
        [key for key in named if run.flat[key] != base.flat[key]]
        for run, base in zip(runs, bases, strict=True)
    ]
    if swept and all(changed):
        return [_name(run, swept) for run in runs]
    return [
        _name(run, keys) or (f"{BASELINE} ({_name(run, swept)})" if swept else BASELINE)
        for run, keys in zip(runs, changed, strict=True)
    ]


def shortest(names: Iterable[str], tuned: Collection[str] = ()) -> dict[str, str]:
    """Shorten the names of arms that are shown together.

    The baseline is the arm whose keys occur in all other arms, with any values; if there are
    several, the one that differs least from the rest. The others are named by what they change in
    it. Without such an arm, only the changes that all arms share are left out. Tuned keys are left
    out as well, unless two arms would then share a name. A single arm is named by the
    techniques that it changes.

    Args:
        names: Names by :func:`difference`.
        tuned: Keys whose values were chosen for each arm.

    Returns:
        A distinct name for each.

    Examples:
        >>> shortest(["width=0.5", "norm=none width=0.5"])
        {'width=0.5': 'baseline', 'norm=none width=0.5': 'norm=none'}
        >>> shortest(["recipe.lr=0.1", "norm=none recipe.lr=0.2"], ["recipe.lr"])
        {'recipe.lr=0.1': 'baseline', 'norm=none recipe.lr=0.2': 'norm=none'}
        >>> shortest(["baseline", "norm=none width=0.5"])
        {'baseline': 'baseline', 'norm=none width=0.5': 'norm=none width=0.5'}
    """
    full = {name: changes(name) for name in dict.fromkeys(names)}
    untuned = {
        name: {key: text for key, text in arm.items() if key not in tuned}
        for name, arm in full.items()
    }
    shared = Counter(frozenset(arm.values()) for arm in untuned.values())
    arms = {
        name: arm if shared[frozenset(arm.values())] == 1 else full[name]
        for name, arm in untuned.items()
    }
    base = _base(list(arms.values()))
    return {
        name: " ".join(text for text in arm.values() if text not in base) or BASELINE
        for name, arm in arms.items()
    }


def _base(arms: Sequence[Mapping[str, str]]) -> Set[str]:
    """Return the changes that names need not repeat."""
    sets = [set(arm.values()) for arm in arms]
    if len(arms) == 1:
        return {text for key, text in arms[0].items() if key not in _TECHNIQUES}
    central = [
        own
        for arm, own in zip(arms, sets, strict=True)
        if len(arms) > 1 and all(arm.keys() <= other.keys() for other in arms)
    ]
    if central:
        return min(central, key=lambda own: sum(len(own ^ other) for other in sets))
    return set.intersection(*sets) if len(sets) > 1 else set()


def changes(name: str) -> dict[str, str]:
    """Return the overrides in the name of an arm by their keys; the baseline has none."""
    texts = [] if name == BASELINE else re.split(r" (?=[\w.]+=)", name)
    return {text.partition("=")[0]: text for text in texts}


def difference(run: Run, base: Run) -> str:
    """Name an arm by its difference from ``base``: ``pooling=nonoverlap recipe.lr=0.02``.

    An arm without a difference is the ``baseline``.
    """
    return _name(run, [key for key in _KEYS if run.flat[key] != base.flat[key]]) or BASELINE


def _name(run: Run, keys: Sequence[str]) -> str:
    return " ".join(f"{key}={_word(run.flat[key])}" for key in keys)


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(map(_callback, value.values())) or "none"
    return "null" if value is None else str(value)


def _callback(values: dict[str, Any]) -> str:
    arguments = [f"{key}={value}" for key, value in values.items() if key != "_target_"]
    return f"{values['_target_'].rpartition('.')[2]}({','.join(arguments)})"
