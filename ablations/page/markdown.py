"""``RESULTS.md``: the verdict table, a section for each experiment."""

from collections import Counter

from ablations.page import reference, words
from ablations.page.arms import mean_sd
from ablations.page.evidence import Chapter, Evidence
from ablations.page.findings import Finding
from ablations.page.labels import CONTROL_MARKS, MARKS, PENDING
from ablations.page.provenance import provenance


def results(evidence: Evidence) -> str:
    """Write everything as Markdown."""
    lines = [
        "# Results",
        "",
        "Each claim of the 2012 AlexNet paper, put to the test over paired seeds. Effects are "
        "positive in the paper's direction; in brackets the interval, adjusted for all looks at "
        "the data and all claims of a family that one command decided.",
        "",
    ]
    for note in evidence.missing:
        lines += [f"> {note}", ""]
    for chapter in evidence.chapters:
        lines += _chapter(chapter)
    return "\n".join(lines).rstrip() + "\n"


def tally(findings: list[Finding]) -> str:
    """How many of which verdict: ``3 reproduced, 1 inconclusive``."""
    counts = Counter(finding.mark.word for finding in findings)
    order = [mark.word for mark in (*MARKS, *CONTROL_MARKS, PENDING)]
    known = sorted(counts, key=order.index)
    return ", ".join(f"{counts[word]} {word[0].lower()}{word[1:]}" for word in known)


def _chapter(chapter: Chapter) -> list[str]:
    lines = [f"## {chapter.title}", "", f"**{chapter.dataset}**: {chapter.scale}.", ""]
    if chapter.paper:
        lines += [
            f"Of {words.count(len(chapter.paper), 'claim')} of the paper: {tally(chapter.paper)}.",
            "",
        ]
    confounds: dict[str, int] = {}
    for finding in chapter.findings:
        for text in finding.result.confounds:
            confounds.setdefault(text, len(confounds) + 1)
    for title, group in (
        ("", chapter.paper),
        ("Extensions", chapter.extensions),
        ("Controls", chapter.controls),
    ):
        if group:
            lines += [f"### {title}", ""] if title else []
            lines += _table(
                ("claim", "§", "paper", "ours [interval]", "n", "verdict", "confounds"),
                [_row(finding, confounds) for finding in group],
            )
    if confounds:
        lines += ["### Confounds", ""]
        lines += [f"{number}. {text}" for text, number in confounds.items()] + [""]
    if chapter.excluded:
        lines += ["### Not put to the test here", ""]
        lines += [f"- {f.title}: {f.result.reason}" for f in chapter.excluded] + [""]
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


ARMS_HEAD = (
    "arm",
    "n",
    "top-1, ten views",
    "top-1, centre",
    "top-5, ten views",
    "training top-1",
    "gap",
    "time per run",
)


def arms_rows(chapter: Chapter) -> list[tuple[str, ...]]:
    """One row of text for each arm, under :data:`ARMS_HEAD`."""
    rows = []
    for arm in chapter.arms:
        diverged = len(arm.runs) - len(arm.finished)
        rows.append(
            (
                words.arm(arm.name),
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


def _row(finding: Finding, confounds: dict[str, int]) -> tuple[str, ...]:
    paper = finding.theirs
    if finding.paper is not None and not finding.comparable:
        paper += " (other data)"
    verdict = f"**{finding.mark.word}**"
    if finding.verdict.get("sub_labels"):
        verdict += f", {', '.join(finding.verdict['sub_labels'])}"
    numbers = ", ".join(str(confounds[text]) for text in finding.result.confounds)
    return (
        finding.title,
        finding.result.section,
        paper,
        finding.ours,
        str(finding.n),
        verdict,
        numbers,
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(head), "|" + " --- |" * len(head), *map(line, rows), ""]
