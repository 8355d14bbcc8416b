"""``python results/publish.py`` redraws the reports of the studies here, and their summary.

The summary is ``effects.svg``, and the tables in the README and in docs/results.md. The same
records give the same files.
"""

from pathlib import Path

from ablations.claims.results import ClaimResult
from ablations.files import write_atomically
from ablations.report import report
from ablations.reporting.claims import measure_of, order_of, rows_of
from ablations.reporting.documents import escape
from ablations.reporting.evidence import Section, gather
from ablations.reporting.forest import forest
from ablations.words import spoken

ROOT = Path(__file__).resolve().parents[1]
FIGURE = ROOT / "results/effects.svg"
PAGES = (ROOT / "README.md", ROOT / "docs/results.md")
HEADINGS = (
    "claim",
    "label",
    "§",
    "measure",
    "paper",
    "here [interval]",
    "study",
    "pairs",
    "gate",
    "other explanations",
)
MOST_CONFOUNDS = 2  # the others are in RESULTS.md


def studies() -> list[Path]:
    """Return the folders of the studies that have verdicts."""
    return sorted(file.parent for file in (ROOT / "results").glob("*/verdicts.json"))


def claims() -> list[tuple[ClaimResult, Section]]:
    """Return the claims of all studies, in the order of the paper."""
    sections = [section for folder in studies() for section in gather(folder).sections]
    found = [(result, section) for section in sections for result in section.shown]
    return sorted(found, key=lambda claim: order_of(claim[0]))


def effects() -> str:
    """Return the effects of all studies as a figure, in SVG."""
    tested = [result for result, _ in claims() if any(v.n for v in result.verdicts)]
    panel = forest("The claims of the paper, here", "Networks and images: see the table", tested)
    assert panel, "some claim has an effect"
    return panel.svg


def table() -> str:
    """Return the labels of all studies as a table in Markdown, and what the studies train."""
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    places, planned = {}, []
    for result, section in claims():
        if not result.label:
            planned.append(f"{spoken(result.claim)} ({result.section}, {section.name})")
            continue
        places[section.name] = f"{section.dataset}: {section.scale}"
        failed = [check.part for check in result.checks if not check.passed]
        passed = "passed" if result.checks else "–"
        gate = ", ".join(f"{part}: not passed" for part in failed) or passed
        for row in rows_of(result):
            if row.level == "secondary":
                continue
            first = row.level == "claim"
            paper = result.paper["data"] if row.result.effect is not None else ""
            rows.append(
                (
                    result.statement if first else f"– {row.name}",
                    f"**{row.result.word}**",
                    result.section if first else "",
                    measure_of(result) if first else "",
                    "; data: ".join(filter(None, (row.paper, paper))),
                    row.ours,
                    section.name if first else "",
                    str(row.result.n),
                    gate if first else "",
                    ", ".join(list(result.confounds)[:MOST_CONFOUNDS]) if first else "",
                )
            )
    sections = {section.name: section for _, section in claims()}
    planned += [f"{spoken(name)} ({s.name})" for s in sections.values() for name in s.unasked]
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    lines += ["", *(f"- `{name}`: {escape(place)}" for name, place in places.items())]
    if planned:
        lines += [f"- without a label so far: {escape(', '.join(planned))}"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text if text.startswith("**") else escape(text)


def with_results(page: str) -> str:
    """Return a page with the present table between its marks ``results``."""
    start, end = "<!-- results -->", "<!-- /results -->"
    before, _, rest = page.partition(start)
    return f"{before}{start}\n{table()}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Run the command."""
    for folder in studies():
        for path in report(gather(folder), folder, pictures=False):
            print(path.relative_to(ROOT))
    write_atomically(FIGURE, effects())
    print(FIGURE.relative_to(ROOT))
    for page in PAGES:
        write_atomically(page, with_results(page.read_text()))
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
