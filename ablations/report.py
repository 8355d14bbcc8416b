"""``python ablations/report.py``: local records and verdicts as RESULTS.md and one HTML page."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.errors import ended_in_words, writable
from ablations.files import write_atomically
from ablations.page.evidence import Chapter, Evidence, gather
from ablations.page.html import Section, page, section
from ablations.page.labels import tally
from ablations.page.markdown import results
from ablations.page.towers import towers
from ablations.record import CHECKPOINT

MARKDOWN, PAGE = "RESULTS.md", "report.html"


def report(output: Path, to: Path, *, pictures: bool = True) -> list[Path]:
    """Write the report on a folder of runs.

    Args:
        output: Folder of the runs.
        to: Folder of the report; made if there is none.
        pictures: Draw kernels, predictions and neighbors; needs checkpoints and torch.

    Returns:
        The files that were written.

    Raises:
        ConfigError: There is nothing to report on, or runs that must not be pooled.
    """
    evidence = gather(output)
    writable(to, f"--to {to}", "--to FOLDER")
    sections = [_section(evidence, chapter, pictures) for chapter in evidence.chapters]
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    written = {MARKDOWN: results(evidence), PAGE: page(evidence, sections, made)}
    for name, text in written.items():
        write_atomically(to / name, text)
    return [to / name for name in written]


def _section(evidence: Evidence, chapter: Chapter, pictures: bool) -> Section:
    if not pictures:
        return section(chapter, evidence.runs)
    # Torch is slow to import, and pictures are all that needs it.
    from ablations.page.pictures import album

    drawn = album(evidence.output, chapter.runs)
    if drawn is None:
        if chapter.runs:
            evidence.missing.append(
                f"{chapter.name}: no run has a checkpoint here, so no pictures of its network are "
                "drawn."
            )
        return section(chapter, evidence.runs)
    colors = [tower.colors for tower in drawn.towers]
    return section(chapter, evidence.runs, drawn, towers(f"{chapter.key}-towers", colors))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(
        prog="report.py", description="Write RESULTS.md and report.html from local records."
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs"), help="folder of the runs (default: runs)"
    )
    parser.add_argument(
        "--to", type=Path, help="folder of the report (default: the folder of the runs)"
    )
    parser.add_argument(
        "--no-pictures",
        dest="pictures",
        action="store_false",
        help="leave out kernels, predictions and neighbors, which need checkpoints",
    )
    given = parser.parse_args(arguments)
    with ended_in_words():
        _write(given.output, given.to or given.output, given.pictures)


def _write(output: Path, to: Path, pictures: bool) -> None:
    if pictures and any(output.glob(f"*/{CHECKPOINT}")):
        print("drawing pictures of trained networks; --no-pictures leaves them out", flush=True)
    written = report(output, to, pictures=pictures)
    for chapter in gather(output).chapters:
        found = [
            f"{title.lower()}: {tally(f.result for f in findings)}"
            for title, findings in chapter.groups
        ]
        print(f"{chapter.title}: {'; '.join(found) or 'no claims'}")
    for path in written:
        print(f"{path} ({path.stat().st_size / 1024:,.0f} kB)")


if __name__ == "__main__":
    main()
