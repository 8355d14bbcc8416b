"""Names of arms: the keys in which runs differ."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from ablations.config import SIZES, Recipe, Run
from ablations.techniques import Techniques

BASELINE = "baseline"
Changes = Mapping[str, str]  # what an arm changes: texts such as `pooling=nonoverlap` by their keys
# Keys whose values distinguish arms, in the order in which names list them; not the seed, the
# replicate, or the name and place of the data.
_TECHNIQUES = tuple(technique.name for technique in fields(Techniques))
_KEYS = (
    *_TECHNIQUES,
    *(f"data.{key}" for key in SIZES),
    *(f"recipe.{entry.name}" for entry in fields(Recipe)),
    *("model", "width", "init", "pretrained", "callbacks"),
)


def arm_labels(arms: Sequence[str]) -> list[str]:
    """Return the names of arms without the changes that all share; a single arm keeps its name.

    Examples:
        >>> arm_labels(["recipe.lr=1", "pooling=nonoverlap recipe.lr=1"])
        ['baseline', 'pooling=nonoverlap']
    """
    if len(set(arms)) == 1:
        return list(arms)
    changes = [changes_of(arm) for arm in arms]
    common = shared(changes)
    return [name_of(_without(common, each)) for each in changes]


def shortest(arms: Mapping[str, Changes], tuned: Collection[str] = ()) -> dict[str, Changes]:
    """Return the changes that the names of arms must list where they are shown together.

    The baseline is the arm whose keys occur in all other arms, with any values; if there are
    several, the one that differs least from the rest. The others are named by what they change in
    it. Without such an arm, only the changes that all arms share are left out. Tuned keys are left
    out as well, unless two arms would then share a name. A single arm is named by the
    techniques that it changes.

    Args:
        arms: The changes of each arm.
        tuned: Keys whose values were chosen for each arm.

    Returns:
        Distinct changes for each; none for the baseline.

    Examples:
        >>> one, other = {"width": "width=0.5"}, {"norm": "norm=none", "width": "width=0.5"}
        >>> shortest({"one": one, "other": other})
        {'one': {}, 'other': {'norm': 'norm=none'}}
        >>> shortest({"one": {}, "other": other})
        {'one': {}, 'other': {'norm': 'norm=none', 'width': 'width=0.5'}}
    """
    untuned = {
        name: {key: text for key, text in arm.items() if key not in tuned}
        for name, arm in arms.items()
    }
    all_untuned = list(untuned.values())
    distinct = {
        name: arm if all_untuned.count(arm) == 1 else arms[name] for name, arm in untuned.items()
    }
    base = _base(list(distinct.values()))
    return {name: _without(base, arm) for name, arm in distinct.items()}


def _without(common: Changes, arm: Changes) -> Changes:
    return {key: text for key, text in arm.items() if common.get(key) != text}


def _base(arms: Sequence[Changes]) -> Changes:
    """Return the changes that names need not repeat."""
    if len(arms) == 1:
        return {key: text for key, text in arms[0].items() if key not in _TECHNIQUES}
    central = [arm for arm in arms if all(arm.keys() <= other.keys() for other in arms)]
    if not central:
        return shared(arms)
    return min(central, key=lambda arm: sum(len(arm.items() ^ other.items()) for other in arms))


def shared(arms: Sequence[Changes]) -> Changes:
    """Return the changes that all arms share."""
    first = arms[0] if arms else {}
    return {key: text for key, text in first.items() if all(a.get(key) == text for a in arms)}


def name_of(changes: Changes) -> str:
    """Return the name of an arm that makes these changes."""
    return " ".join(changes.values()) or BASELINE


def changes_of(name: str) -> Changes:
    """Return the changes that the name of an arm lists; the inverse of `name_of`."""
    texts = [] if name == BASELINE else re.split(r" (?=[\w.]+=)", name)
    return {text.partition("=")[0]: text for text in texts}


def difference(run: Run, base: Run) -> str:
    """Name an arm by its difference from ``base``: ``pooling=nonoverlap recipe.lr=0.02``.

    An arm without a difference is the ``baseline``.
    """
    changed = [key for key in _KEYS if run.flat[key] != base.flat[key]]
    return name_of({key: f"{key}={_word(run.flat[key])}" for key in changed})


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "+".join(map(_callback, value.values())) or "none"
    return "null" if value is None else str(value)


def _callback(values: dict[str, Any]) -> str:
    arguments = [f"{key}={value}" for key, value in values.items() if key != "_target_"]
    return f"{values['_target_'].rpartition('.')[2]}({','.join(arguments)})"
