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
    if result.word == "false alarm":
        return "false-alarm"
    if result.family == "control" and result.label in (Label.no_effect, Label.undecided):
        return "expected"
    return Label(result.label).name.replace("_", "-")


def word(result: ClaimResult) -> str:
    """Return the label of a result for readers; a control without a finding is as expected."""
    return "as expected" if icon(result) == "expected" else result.word


def counts(results: Iterable[ClaimResult]) -> list[tuple[str, str, int]]:
    """Return icon, label and number of results of each label, in the order of the page."""
    found = Counter((ICONS.index(icon(result)), word(result)) for result in results)
    return [(ICONS[place], text, n) for (place, text), n in sorted(found.items())]


def tally(results: Iterable[ClaimResult]) -> str:
    """Return the counts by label as text: ``3 hold here, no effect here in 2, 1 undecided``."""
    found = []
    for _, text, n in counts(results):
        if text in ("direction holds here", "right direction", "no effect here"):
            found.append(f"{text} in {n}")
        else:
            found.append(f"{n} {text.replace('holds', 'hold') if n > 1 else text}")
    return ", ".join(found)
