"""Published ImageNet results, shown next to ours."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ablations.reporting.evidence import Section
from ablations.reporting.words import mean_sd

HEAD = ("run", "what", "data", "views", "top-1, %", "top-5, %", "in the paper")


@cache
def load() -> dict[str, Any]:
    """Return the content of ``reference.yaml``: ``authors``, ``spread`` and ``others``."""
    return yaml.safe_load((files("ablations.reporting") / "reference.yaml").read_text())


def applies(section: Section) -> bool:
    """Return whether the runs of a section are on ImageNet with its 1000 classes."""
    return "imagenet" in section.dataset.lower() and any(
        run.data.classes == 1000 for run in section.runs
    )


def rows(section: Section) -> list[tuple[str, ...]]:
    """Return our results, the authors' and others' under :data:`HEAD`."""
    ours = [
        (
            "ours",
            f"{arm.name}, n = {len(arm.runs)}",
            section.dataset,
            views,
            mean_sd(arm.errors(view, 1)),
            mean_sd(arm.errors(view, 5)),
            "",
        )
        for arm in section.arms
        for view, views in (("ten_view", "10"), ("center", "1"))
    ]
    theirs = [
        (
            f"{who} {row['run']}".strip(),
            row["what"],
            row["data"],
            str(row["views"]),
            f"{row['top1']:.2f}",
            f"{row['top5']:.2f}",
            row.get("traced", ""),
        )
        for who, group in (("authors’", "authors"), ("", "others"))
        for row in load()[group]
    ]
    return ours + theirs
