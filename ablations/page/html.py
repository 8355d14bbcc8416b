"""``report.html``: one self-contained page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablations.page import reference, words
from ablations.page.album import Album
from ablations.page.arms import mean_sd
from ablations.page.evidence import Chapter, Evidence
from ablations.page.findings import Finding
from ablations.page.forest import forest
from ablations.page.gaps import gaps
from ablations.page.labels import GLOSSARY, MARKS, PENDING, Mark
from ablations.page.markdown import ARMS_HEAD, arms_rows
from ablations.page.provenance import provenance
from ablations.page.seeds import curves, points
from ablations.page.svg import Drawing
from ablations.record import Record


@dataclass(frozen=True)
class Card:
    """A finding with its drawings.

    Attributes:
        finding: The finding.
        drawings: Points and curves, as far as there are any.
    """

    finding: Finding
    drawings: list[Drawing]

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """What was computed, for those who want to check."""
        return _numbers(self.finding)


@dataclass(frozen=True)
class Section:
    """A chapter with its drawings and pictures.

    Attributes:
        chapter: The chapter.
        claims: Cards of the paper's claims.
        extensions: Cards of our own.
        controls: Cards of controls.
        forest: All effects.
        gaps: Training and test errors.
        album: Pictures of one run.
        towers: How colourful the kernels of each tower are.
    """

    chapter: Chapter
    claims: list[Card]
    extensions: list[Card]
    controls: list[Card]
    forest: Drawing | None
    gaps: Drawing | None
    album: Album | None = None
    towers: Drawing | None = None

    @property
    def counts(self) -> list[tuple[Mark, int]]:
        """How many of the paper's claims came to each verdict, where any did."""
        found = Counter(finding.mark.key for finding in self.chapter.paper)
        return [(mark, found[mark.key]) for mark in (*MARKS, PENDING) if found[mark.key]]

    @property
    def arms(self) -> list[tuple[str, ...]]:
        """Rows of the table of arms."""
        return arms_rows(self.chapter)

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """Where the numbers come from."""
        return provenance(self.chapter)

    @property
    def specialization(self) -> str:
        """How far the towers are apart in each arm that has records of it; empty without any."""
        told = [
            f"{words.arm(arm.name)} {mean_sd(arm.color_differences, 1)} (n = "
            f"{len(arm.color_differences)})"
            for arm in self.chapter.arms
            if arm.color_differences
        ]
        return "; ".join(told)

    @property
    def reference(self) -> list[tuple[str, ...]]:
        """Others' results on ImageNet; empty for other data."""
        return reference.rows(self.chapter) if reference.applies(self.chapter) else []


@dataclass(frozen=True)
class Row:
    """A claim in the table that sets the experiments side by side.

    Attributes:
        finding: One of its findings, for its name and the paper.
        cells: A finding for each section, or none.
    """

    finding: Finding
    cells: list[Finding | None] = field(default_factory=list)


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
        towers: Drawing of the colours of its kernels.
    """
    return Section(
        chapter=chapter,
        claims=[_card(finding, runs) for finding in chapter.paper],
        extensions=[_card(finding, runs) for finding in chapter.extensions],
        controls=[_card(finding, runs) for finding in chapter.controls],
        forest=forest(f"{chapter.key}-forest", [*chapter.claims, *chapter.controls]),
        gaps=gaps(chapter),
        album=album,
        towers=towers,
    )


def _card(finding: Finding, runs: dict[str, Record]) -> Card:
    every = points(finding)
    return Card(finding, [*([every] if every else []), *curves(finding, runs)])


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
    environment.filters |= {"spoken": words.spoken, "count": words.count}
    template = environment.get_template("report.html")
    return template.render(
        sections=sections,
        missing=evidence.missing,
        rows=_rows(sections),
        marks=MARKS,
        glossary=GLOSSARY,
        arms_head=ARMS_HEAD,
        spread=reference.load().spread,
        made=made,
    )


def _rows(sections: Sequence[Section]) -> list[Row]:
    rows: dict[str, Row] = {}
    for index, part in enumerate(sections):
        for finding in part.chapter.findings:
            row = rows.setdefault(finding.title, Row(finding))
            row.cells.extend([None] * (index - len(row.cells)))
            row.cells.append(finding)
    for row in rows.values():
        row.cells.extend([None] * (len(sections) - len(row.cells)))
    return sorted(rows.values(), key=lambda row: row.finding.order)


def _looks(rule: Mapping[str, Any]) -> str:
    if rule.get("stopping") == "anytime":
        return "every number of pairs, by intervals that are valid at any time"
    return f"{', '.join(map(str, rule.get('looks', [])))} pairs"


def _numbers(finding: Finding) -> list[tuple[str, str]]:
    verdict, rule = finding.verdict, finding.result.rule
    if not verdict:
        return []
    effect, inside = verdict["effect_test"], verdict["negligible_test"]
    rows = [
        ("Measure", finding.measure),
        ("Arm without", words.arm(finding.without.label)),
        ("Arm with", words.arm(finding.with_technique.label)),
        ("Paper", f"{finding.result.paper['says']} ({finding.result.paper['data']})"),
        ("Looks at", _looks(rule)),
        ("Test of no effect", f"p = {_p(effect['p'])}, adjusted {_p(effect['p_adjusted'])}"),
        ("Test within margin", f"p = {_p(inside['p'])}, adjusted {_p(inside['p_adjusted'])}"),
    ]
    if verdict.get("paired_t"):
        rows.append(("Paired t, alone", f"p = {_p(verdict['paired_t']['p'])}"))
    if verdict.get("sign_flip_p") is not None:
        rows.append(("Sign flips", f"p = {_p(verdict['sign_flip_p'])}"))
    if verdict.get("seed_correlation") is not None:
        rows.append(("Correlation over seeds", words.number(verdict["seed_correlation"], 2)))
    if finding.on_new_images:
        rows.append(("On new images", finding.on_new_images))
    for name, arm in finding.result.arms.items():
        if arm.tuning:
            scores = ", ".join(
                f"{choice}: {'none' if score is None else f'{score:.4g}'}"
                for choice, score in arm.tuning.items()
            )
            rows.append((f"Tuned {name}", f"{' '.join(arm.tuned)} (mean scores {scores})"))
    if finding.result.rule_hash:
        rows.append(("Rule", finding.result.rule_hash))
    return rows


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
