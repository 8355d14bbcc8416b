"""Writes ``report.html``: one self-contained page."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablations.claims.results import ClaimResult
from ablations.launch.display import count
from ablations.reporting import claims, labels, markdown, plots, reference, strips, words
from ablations.reporting.evidence import Evidence, Section
from ablations.reporting.provenance import provenance

if TYPE_CHECKING:  # it imports torch
    from ablations.reporting.pictures import Figures

# Their functions are called by the templates.
_MODULES = (claims, labels, markdown, plots, reference, strips, words)


def page(evidence: Evidence, figures: Mapping[str, "Figures"] | None = None) -> str:
    """Return the page; the same evidence gives the same text.

    Args:
        evidence: What it shows.
        figures: Pictures of one run of a section, by the key of the section.
    """
    environment = Environment(
        loader=PackageLoader("ablations.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "capital": words.capital,
        "count": count,
        "icon": labels.icon,
        "sentence": words.sentence,
        "spoken": words.spoken,
        "word": labels.word,
    }
    return environment.get_template("report.html").render(
        sections=evidence.sections,
        missing=evidence.missing,
        figures=figures or {},
        overview=_overview(evidence.sections),
        provenance=provenance,
        **{module.__name__.split(".")[-1]: module for module in _MODULES},
    )


def _overview(sections: list[Section]) -> list[list[ClaimResult | None]]:
    """Return the results of each claim, one for each study or None, in the order of the paper."""
    studies = [{r.claim: r for r in section.results} for section in sections if section.study]
    first = {name: result for study in reversed(studies) for name, result in study.items()}
    names = [result.claim for result in sorted(first.values(), key=claims.order_of)]
    return [[study.get(name) for study in studies] for name in names]
