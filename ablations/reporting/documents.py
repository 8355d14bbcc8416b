"""Renders ``RESULTS.md``, ``report.html`` and ``verdicts.tex`` from their templates."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from ablations import words
from ablations.claims.results import ClaimResult
from ablations.reporting import claims, labels, mistakes, plots, tables
from ablations.reporting.evidence import Evidence, Section

if TYPE_CHECKING:  # it imports torch
    from ablations.reporting.pictures import Pictures


def results(evidence: Evidence) -> str:
    """Return ``RESULTS.md``; the same evidence gives the same text."""
    return _render("results.md", evidence).rstrip() + "\n"


def page(
    evidence: Evidence,
    drawn: plots.Drawn,
    pictures: Mapping[str, "Pictures"] | None = None,
) -> str:
    """Return ``report.html``; the same evidence gives the same text.

    Args:
        evidence: What it shows.
        drawn: Its plots.
        pictures: Pictures of networks by the key of the section.
    """
    return _render("report.html", evidence, drawn=drawn, drawn_pictures=pictures or {})


def claims_table(results: Sequence[ClaimResult]) -> str:
    """Return a table in Markdown with a row for each claim, and one for each of its parts."""
    return _TEMPLATES.get_template("claims.md").render(results=results)


def verdicts_tex(evidence: Evidence) -> str:
    """Return ``verdicts.tex``: a table for each study; needs array and booktabs."""
    return _render("verdicts.tex", evidence)


def _render(template: str, evidence: Evidence, **values: object) -> str:
    return _TEMPLATES.get_template(template).render(
        sections=evidence.sections,
        missing=evidence.missing,
        overview=_overview(evidence.sections),
        **values,
    )


def escape(text: str) -> str:
    r"""Return text that Markdown shows as it is, in one line: no HTML, links, emphasis or cells.

    Examples:
        >>> print(escape("<b> [x](y) *a* 1|2 [0.9, 1.1]"))
        &lt;b> [x]\(y) \*a\* 1\|2 [0.9, 1.1]
    """
    text = re.sub(r"[\\`*|]|(?<=\])\(", r"\\\g<0>", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def latex(text: str) -> str:
    r"""Return text that LaTeX shows as it is.

    Examples:
        >>> print(latex("5 % of a_b, −1.2 [1.01×, ∞]"))
        5 \% of a\_b, $-$1.2 {[}1.01$\times$, $\infty$]
    """
    return re.sub(r"\W|_", lambda found: _LATEX.get(found[0], found[0]), " ".join(text.split()))


_LATEX = {
    **{character: f"\\{character}" for character in "%&#_${}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    # After `\\` a bracket would be an option of it.
    "[": "{[}",
    **{"–": "--", "§": r"\S{}", "×": r"$\times$", "−": "$-$", "±": r"$\pm$", "∞": r"$\infty$"},
    **{"≤": r"$\le$", "≥": r"$\ge$", "Δ": r"$\Delta$", "…": r"\ldots{}", "’": "'"},
}


def _overview(sections: list[Section]) -> list[list[ClaimResult | None]]:
    """Return the results of each claim, one for each study or None, in the order of the paper."""
    studies = [{r.claim: r for r in section.results} for section in sections if section.study]
    first = {name: result for study in reversed(studies) for name, result in study.items()}
    names = [result.claim for result in sorted(first.values(), key=claims.order_of)]
    return [[study.get(name) for study in studies] for name in names]


_TEMPLATES = Environment(
    loader=PackageLoader("ablations.reporting"),
    autoescape=lambda name: name is not None and name.endswith(".html"),
    keep_trailing_newline=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "capital": words.capital,
    "count": words.count,
    "escaped": escape,
    "icon": labels.icon,
    "latex": latex,
    "sentence": words.sentence,
    "spoken": words.spoken,
    "tally": labels.tally,
}
# The templates call the functions of these modules.
_TEMPLATES.globals |= {
    "claims": claims,
    "labels": labels,
    "mistakes": mistakes,
    "tables": tables,
    "words": words,
}
