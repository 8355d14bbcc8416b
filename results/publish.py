"""``python results/publish.py`` redraws the reports of the studies here and the tables of results.

The tables are in the README and in docs/results.md. The same records give the same files.
"""

from collections.abc import Iterable
from pathlib import Path

from ablations.files import write_atomically
from ablations.report import report
from ablations.reporting.claims import measure_of, order_of, rows_of
from ablations.reporting.documents import escape
from ablations.reporting.evidence import Section, gather

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs/results.md")
HEADINGS = (
    "claim",
    "§",
    "measure",
    "paper",
    "here [interval]",
    "here on",
    "pairs",
    "gate",
    "other explanations",
    "label",
)
MOST_CONFOUNDS = 2  # the others are in RESULTS.md


def studies() -> list[Path]:
    """Return the folders of the studies that have verdicts."""
    return sorted(file.parent for file in (ROOT / "results").glob("*/verdicts.json"))


def table(sections: Iterable[Section]) -> str:
    """Return the claims of all studies as one table in Markdown, in the order of the paper."""
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    claims = [(result, section) for section in sections for result in section.shown]
    for result, section in sorted(claims, key=lambda claim: order_of(claim[0])):
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
                    result.section if first else "",
                    measure_of(result) if first else "",
                    ", on ".join(filter(None, (row.paper, paper))),
                    row.ours,
                    f"{section.dataset}: {section.scale}" if first else "",
                    str(row.result.n),
                    gate if first else "",
                    ", ".join(list(result.confounds)[:MOST_CONFOUNDS]) if first else "",
                    f"**{row.result.word}**",
                )
            )
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(text: str) -> str:
    return text if text.startswith("**") else escape(text)


def with_results(page: str) -> str:
    """Return a page with the present table between its marks ``results``."""
    start, end = "<!-- results -->", "<!-- /results -->"
    before, _, rest = page.partition(start)
    sections = [section for folder in studies() for section in gather(folder).sections]
    return f"{before}{start}\n{table(sections)}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Run the command."""
    for folder in studies():
        for path in report(gather(folder), folder, pictures=False):
            print(path.relative_to(ROOT))
    for page in PAGES:
        write_atomically(page, with_results(page.read_text()))
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
