"""``RESULTS.md``: the claims and their labels, a section for each study."""

from collections.abc import Iterable

from ablations.page import reference, words
from ablations.page.arms import mean_sd
from ablations.page.evidence import Chapter, Evidence
from ablations.page.findings import Finding
from ablations.page.labels import GLOSSARY, MARKS, tally
from ablations.page.provenance import provenance


def results(evidence: Evidence) -> str:
    """Write everything as Markdown."""
    lines = [
        "# Results",
        "",
        "Claims of the 2012 AlexNet paper, tested over paired seeds. Effects are above 1 (×) or "
        "positive (points) in the paper's direction. Intervals are adjusted for all looks and all "
        "claims of a study. Away from the paper's own data and network a label speaks of the scale "
        "of the study. The [glossary](#glossary) gives the rule of each label.",
        "",
    ]
    for note in evidence.missing:
        lines += [f"> {note}", ""]
    for chapter in evidence.chapters:
        lines += _chapter(chapter)
    if any(chapter.findings for chapter in evidence.chapters):
        lines += ["## Glossary", ""]
        lines += _table(
            ("label", "at the paper's data and network", "rule"),
            [(f"**{x}**", x.word(at_paper=True), mark.rule) for x, mark in MARKS.items()],
        )
        lines += [f"- **{word}**: {meaning}" for word, meaning in GLOSSARY]
    return "\n".join(lines).rstrip() + "\n"


def _chapter(chapter: Chapter) -> list[str]:
    lines = [f"## {chapter.title}", "", f"**{chapter.dataset}**: {chapter.scale}.", ""]
    for title, findings in chapter.groups:
        lines += [f"### {title}", "", f"{words.capital(tally(f.result for f in findings))}.", ""]
        lines += claims_table(findings)
        for finding in findings:
            lines += _details(finding)
    if chapter.excluded:
        lines += ["### Not tested here", ""]
        lines += [f"- {f.title}: {f.result.excluded}" for f in chapter.excluded] + [""]
    if chapter.arms:
        lines += ["### Arms", "", "Errors in percent, mean ± standard deviation over seeds.", ""]
        lines += _table(ARMS_HEAD, arms_rows(chapter))
    if reference.applies(chapter):
        lines += ["### Beside the authors' own runs", "", reference.load().spread.strip(), ""]
        lines += _table(
            ("run", "what", "data", "views", "top-1", "top-5", "in the paper"),
            reference.rows(chapter),
        )
    lines += ["### Provenance", ""]
    lines += [f"- {name}: {value}" for name, value in provenance(chapter)] + [""]
    return lines


def claims_table(findings: Iterable[Finding]) -> list[str]:
    """Write a row for each claim, and one for each of its parts, as lines of Markdown."""
    rows = []
    for row in (row for finding in findings for row in finding.rows):
        whole = row.level == "claim"
        word = f"**{row.word}**" if whole else row.word
        name = row.name if whole else f"– {row.name}"
        section = row.result.section if whole else ""
        paper = "" if row.level == "part" else row.paper
        rows.append((name, section, paper, row.ours, row.points, str(row.n), word))
    return _table(("claim", "§", "paper", "ours [interval]", "points", "pairs", "label"), rows)


def _details(finding: Finding) -> list[str]:
    lines = [f"#### {finding.title}: {finding.word}", "", finding.result.statement, ""]
    lines += [f"- **Warning**: {note}" for note in finding.notes]
    for check in finding.result.checks:
        outcome = "passed" if check.passed else "**failed**"
        lines.append(f"- Gate, {check.part}, {outcome}: {words.sentence(check.text)}")
    lines += [f"- {name}: {value}" for name, value in (*finding.plan, *finding.numbers)]
    lines += [f"- Confound: {text}" for text in finding.result.confounds]
    return [*lines, ""]


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


def arms_rows(chapter: Chapter) -> list[tuple[str, ...]]:
    """Return one row of text for each arm, under :data:`ARMS_HEAD`."""
    rows = []
    for arm in chapter.arms:
        diverged = len(arm.runs) - len(arm.finished)
        rows.append(
            (
                arm.name,
                f"{len(arm.runs)}" + f" ({diverged} diverged)" * bool(diverged),
                mean_sd(arm.errors("ten_view", 1)),
                mean_sd(arm.errors("center", 1)),
                mean_sd(arm.errors("ten_view", 5)),
                mean_sd([train for train, _ in arm.gaps]),
                mean_sd([test - train for train, test in arm.gaps]),
                words.duration(sum(run.seconds for run in arm.runs) / len(arm.runs)),
            )
        )
    return rows


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(head), "|" + " --- |" * len(head), *map(line, rows), ""]
