"""The icon and the rule of each label, and the glossary."""

from collections import Counter
from collections.abc import Iterable
from importlib.resources import files

import yaml

from ablations.claims.results import ClaimResult
from ablations.stats.labels import Label

_TEXTS = yaml.safe_load((files("ablations.reporting") / "labels.yaml").read_text("utf-8"))
RULES: dict[Label, str] = {Label[name]: rule for name, rule in _TEXTS["rules"].items()}
GLOSSARY: dict[str, str] = _TEXTS["glossary"]
ICONS = [
    *(label.name.replace("_", "-") for label in RULES),
    *("expected", "false-alarm", "planned", "excluded"),
]


def icon(result: ClaimResult) -> str:
    """Return the name of the icon of a result, which is also that of its color."""
    if not result.label:
        return "excluded" if result.excluded else "planned"
    if result.word in ("false alarm", "as expected"):
        return result.word.removeprefix("as ").replace(" ", "-")
    return Label(result.label).name.replace("_", "-")


def counts(results: Iterable[ClaimResult]) -> list[tuple[str, str, int]]:
    """Return icon, label and number of results of each label, in the order of the page."""
    found = Counter((ICONS.index(icon(result)), result.word) for result in results)
    return [(ICONS[place], text, n) for (place, text), n in sorted(found.items())]


def tally(results: Iterable[ClaimResult]) -> str:
    """Return the counts by label as text: ``holds here (3), no effect here (2)``."""
    return ", ".join(f"{text} ({n})" for _, text, n in counts(results))
