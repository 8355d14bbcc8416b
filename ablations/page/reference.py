"""Results of the authors and of others, for runs on ImageNet."""

from dataclasses import dataclass
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from ablations.page.arms import mean_sd
from ablations.page.evidence import Chapter


@dataclass(frozen=True)
class Row:
    """One result of others.

    Attributes:
        run: Name of the run or the model.
        what: What it is.
        data: Where it was measured.
        views: Averaged views of each image.
        top1: Top-1 error in percent.
        top5: Top-5 error in percent.
        traced: The figure of the paper that goes back to it.
    """

    run: str
    what: str
    data: str
    views: int
    top1: float
    top5: float
    traced: str = ""


@dataclass(frozen=True)
class Reference:
    """Results of others.

    Attributes:
        authors: From the comments in the authors' configurations.
        spread: How far the same architecture scatters in them.
        others: Well-known reproductions.
    """

    authors: list[Row]
    spread: str
    others: list[Row]


def load() -> Reference:
    """Read the table that ships with the package."""
    text = (files("ablations.page") / "reference.yaml").read_text()
    return TypeAdapter(Reference).validate_python(yaml.safe_load(text))


def applies(chapter: Chapter) -> bool:
    """Whether the runs of a chapter are on ImageNet with its 1000 classes."""
    return "imagenet" in chapter.dataset.lower() and any(
        r.data.classes == 1000 for r in chapter.runs
    )


def rows(chapter: Chapter) -> list[tuple[str, ...]]:
    """Return rows of who, what, data, views, top-1, top-5, paper: ours first, then the authors'."""
    ours = [
        (
            "ours",
            f"{arm.name}, n = {len(arm.runs)}",
            chapter.dataset,
            views,
            mean_sd(arm.errors(view, 1)),
            mean_sd(arm.errors(view, 5)),
            "",
        )
        for arm in chapter.arms
        for view, views in (("ten_view", "10"), ("center", "1"))
    ]
    table = load()
    theirs = [
        (
            f"{who} {row.run}".strip(),
            row.what,
            row.data,
            str(row.views),
            f"{row.top1:.2f}",
            f"{row.top5:.2f}",
            row.traced,
        )
        for who, group in (("authors’", table.authors), ("", table.others))
        for row in group
    ]
    return ours + theirs
