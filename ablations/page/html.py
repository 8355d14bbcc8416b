"""``report.html``: one self-contained page."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablations.page import reference, words
from ablations.page.album import Album
from ablations.page.arms import mean_sd
from ablations.page.evidence import Chapter, Evidence
from ablations.page.findings import Finding
from ablations.page.forest import forest
from ablations.page.gaps import gaps
from ablations.page.labels import GLOSSARY, MARKS, counts
from ablations.page.markdown import ARMS_HEAD, arms_rows
from ablations.page.provenance import provenance
from ablations.page.seeds import curves, points
from ablations.page.svg import Drawing
from ablations.record import Record


@dataclass(frozen=True)
class Section:
    """A chapter with its drawings and pictures.

    Attributes:
        chapter: The chapter.
        drawings: Of each claim, by its key, then by part: points and curves.
        forest: All effects.
        gaps: Training and test errors.
        album: Pictures of one run.
        towers: How colorful the kernels of each tower are.
    """

    chapter: Chapter
    drawings: dict[str, dict[str, list[Drawing]]]
    forest: Drawing | None
    gaps: Drawing | None
    album: Album | None = None
    towers: Drawing | None = None


def specialization(chapter: Chapter) -> str:
    """Return how far the towers are apart in each arm; empty without finished runs."""
    return "; ".join(
        f"{arm.name} {mean_sd(arm.color_differences, 1)} (n = {len(arm.color_differences)})"
        for arm in chapter.arms
        if arm.color_differences
    )


def section(
    chapter: Chapter,
    runs: dict[str, Record],
    album: Album | None = None,
    towers: Drawing | None = None,
) -> Section:
    """Draw a chapter.

    Args:
        chapter: The chapter.
        runs: All records by run id.
        album: Pictures of one of its runs.
        towers: Drawing of the colors of its kernels.
    """
    return Section(
        chapter=chapter,
        drawings={
            finding.key: {part: _drawings(finding, runs, part) for part in finding.result.arms}
            for finding in chapter.shown
        },
        forest=forest(f"{chapter.key}-forest", chapter.shown),
        gaps=gaps(chapter),
        album=album,
        towers=towers,
    )


def _drawings(finding: Finding, runs: dict[str, Record], part: str) -> list[Drawing]:
    every = points(finding, part)
    return [*([every] if every else []), *curves(finding, runs, part)]


def page(evidence: Evidence, sections: Sequence[Section], made: str) -> str:
    """Write the page.

    Args:
        evidence: What it is made of.
        sections: Its chapters, drawn.
        made: When it was made, in words.
    """
    environment = Environment(
        loader=PackageLoader("ablations.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": words.count,
        "sentence": words.sentence,
        "capital": words.capital,
    }
    environment.globals |= {
        "counts": lambda chapter: counts(
            f.result for f in chapter.shown if f.result.family == "paper"
        ),
        "arms_rows": arms_rows,
        "provenance": provenance,
        "reference": reference,
        "specialization": specialization,
    }
    return environment.get_template("report.html").render(
        sections=sections,
        missing=evidence.missing,
        claims=_claims(sections),
        marks=MARKS,
        glossary=GLOSSARY,
        arms_head=ARMS_HEAD,
        made=made,
    )


def _claims(sections: Sequence[Section]) -> list[list[Finding | None]]:
    """Return the findings of each claim, one for each section or None, in the paper's order."""
    rows: dict[str, list[Finding | None]] = {}
    order = {f.title: f.order for part in sections for f in part.chapter.findings}
    for index, part in enumerate(sections):
        for finding in part.chapter.findings:
            rows.setdefault(finding.title, [None] * len(sections))[index] = finding
    return [rows[title] for title in sorted(rows, key=lambda title: order[title])]
