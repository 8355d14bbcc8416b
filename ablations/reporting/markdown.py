"""Writes ``RESULTS.md``: the claims and their labels, a section for each study."""

import re
from collections.abc import Iterable, Sequence

from ablations.claims.results import ClaimResult
from ablations.launch.display import duration
from ablations.reporting import reference
from ablations.reporting.claims import details_of, plan_of, rows_of, warnings_of
from ablations.reporting.evidence import Evidence, Section
from ablations.reporting.labels import GLOSSARY, RULES, tally, word
from ablations.reporting.provenance import provenance
from ablations.reporting.words import capital, mean_sd, sentence, spoken

ARMS_HEAD = (
    "arm",
    "n",
    "top-1, ten views",
    "top-1, center",
    "top-5, ten views",
    "training top-1",
    "gap",
    "time per run",
)


def results(evidence: Evidence) -> str:
    """Return the whole report as Markdown."""
    lines = [
        "# Results",
        "",
        "Claims of the 2012 AlexNet paper, tested over paired seeds. Effects are above 1 (×) or "
        "positive (points) in the paper's direction. Intervals are adjusted for all looks and all "
        "claims of a study. Away from the paper's own data and network, a label refers to the "
        "scale of the study. The [glossary](#glossary) gives the rule of each label.",
        "",
    ]
    for note in evidence.missing:
        lines += [f"> {escape(note)}", ""]
    for section in evidence.sections:
        lines += _section(section)
    if any(section.results for section in evidence.sections):
        lines += ["## Glossary", ""]
        lines += _table(
            ("label", "at the paper's data and network", "rule"),
            [(f"**{label}**", label.word(at_paper=True), rule) for label, rule in RULES.items()],
        )
        lines += [f"- **{term}**: {meaning}" for term, meaning in GLOSSARY.items()]
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {escape(section.title)}", ""]
    lines += [f"**{escape(section.dataset)}**: {escape(section.scale)}.", ""]
    for title, members in section.groups:
        lines += [f"### {title}", "", f"{capital(tally(members))}.", ""]
        lines += claims_table(members)
        for result in members:
            lines += _details(result, section.study.version if section.study else 0)
    if section.excluded:
        lines += ["### Not tested here", ""]
        lines += [f"- {escape(f'{spoken(r.claim)}: {r.excluded}')}" for r in section.excluded]
        lines.append("")
    if section.arms:
        lines += ["### Arms", "", "Errors in percent, mean ± standard deviation over seeds.", ""]
        lines += _table(ARMS_HEAD, map(_escaped, arms_rows(section)))
    if reference.applies(section):
        lines += ["### Beside the authors' own runs", "", reference.load()["spread"].strip(), ""]
        lines += _table(reference.HEAD, map(_escaped, reference.rows(section)))
    lines += ["### Provenance", ""]
    lines += [f"- {name}: {escape(value)}" for name, value in provenance(section)]
    return [*lines, ""]


def claims_table(results: Iterable[ClaimResult]) -> list[str]:
    """Return lines of Markdown with a row for each claim, and one for each of its parts."""
    lines = []
    for row in (row for result in results for row in rows_of(result)):
        claim = row.level == "claim"
        cells = (
            row.name if claim else f"– {row.name}",
            row.result.section if claim else "",
            "" if row.level == "part" else row.paper,
            row.ours,
            row.points,
            str(row.n),
        )
        lines.append((*_escaped(cells), f"**{row.label}**" if claim else row.label))
    return _table(("claim", "§", "paper", "ours [interval]", "points", "pairs", "label"), lines)


def _details(result: ClaimResult, version: int) -> list[str]:
    lines = [
        f"#### {escape(spoken(result.claim))}: {word(result)}",
        "",
        escape(result.statement),
        "",
    ]
    lines += [f"- **Warning**: {escape(text)}" for text in warnings_of(result)]
    for check in result.checks:
        outcome = "passed" if check.passed else "**failed**"
        lines.append(f"- Gate, {check.part}, {outcome}: {escape(sentence(check.text))}")
    pairs = [*plan_of(result), *details_of(result, version)]
    lines += [f"- {escape(f'{name}: {value}')}" for name, value in pairs]
    lines += [f"- Confound: {escape(text)}" for text in result.confounds]
    return [*lines, ""]


def arms_rows(section: Section) -> list[tuple[str, ...]]:
    """Return one row of text for each arm, under :data:`ARMS_HEAD`."""
    rows = []
    for arm in section.arms:
        diverged = len(arm.runs) - len(arm.finished)
        rows.append(
            (
                arm.name,
                f"{len(arm.runs)}" + f" ({diverged} diverged)" * bool(diverged),
                mean_sd(arm.errors("ten_view", 1)),
                mean_sd(arm.errors("center", 1)),
                mean_sd(arm.errors("ten_view", 5)),
                mean_sd([train for train, _ in arm.train_test]),
                mean_sd(arm.gaps),
                duration(sum(run.seconds for run in arm.runs) / len(arm.runs)),
            )
        )
    return rows


def escape(text: str) -> str:
    r"""Return text that Markdown shows as it is, in one line: no HTML, links, emphasis or cells.

    Examples:
        >>> print(escape("<b> [x](y) *a* 1|2 [0.9, 1.1]"))
        &lt;b> [x]\(y) \*a\* 1\|2 [0.9, 1.1]
    """
    text = re.sub(r"[\\`*|]|(?<=\])\(", r"\\\g<0>", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _escaped(cells: Iterable[str]) -> tuple[str, ...]:
    return tuple(escape(cell) for cell in cells)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:], ""]
