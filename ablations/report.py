"""``python ablations/report.py`` writes text, page, tables and figures from local records."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.errors import ended_in_words, writable
from ablations.files import write_atomically
from ablations.record import CHECKPOINT

MARKDOWN, PAGE = "RESULTS.md", "report.html"
RUNS, VERDICTS, LATEX, FIGURES = "runs.csv", "verdicts.csv", "verdicts.tex", "figures"


def report(output: Path, to: Path, *, pictures: bool = True, figures: bool = True) -> list[Path]:
    """Write the report on a folder of runs; the same records give the same files.

    Args:
        output: Folder of the runs.
        to: Folder of the report, created if it does not exist.
        pictures: Draw kernels, predictions and neighbors; needs checkpoints and torch.
        figures: Draw the figures of the studies also as files.

    Returns:
        The written files.

    Raises:
        ConfigError: There is nothing to report on, or there are runs that must not be pooled.
    """
    # Where a lack of memory for them is told in one line.
    from ablations.reporting.documents import page, results
    from ablations.reporting.evidence import gather
    from ablations.reporting.exports import runs_csv, verdicts_csv, verdicts_tex
    from ablations.reporting.figures import save

    evidence = gather(output)
    writable(to, f"--to {to}", "--to FOLDER")
    drawn = {}
    if pictures:
        # Torch is slow to import, and only pictures need it.
        from ablations.reporting.pictures import draw

        for section in evidence.sections:
            if found := draw(output, section.runs):
                drawn[section.key] = found
            elif section.runs:
                evidence.missing.append(
                    f"{section.name}: no run has a checkpoint here, so there are no pictures of "
                    "its network."
                )
    written = {
        MARKDOWN: results(evidence),
        PAGE: page(evidence, drawn),
        RUNS: runs_csv(evidence),
        VERDICTS: verdicts_csv(evidence),
        LATEX: verdicts_tex(evidence),
    }
    for name, text in written.items():
        write_atomically(to / name, text)
    files = save(to / FIGURES, evidence.sections) if figures else []
    return [*(to / name for name in written), *files]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(
        prog="report.py",
        description="Write the report from local records: RESULTS.md, report.html, runs.csv, "
        "verdicts.csv, verdicts.tex and figures.",
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
    parser.add_argument(
        "--no-figures",
        dest="figures",
        action="store_false",
        help="leave out the folder of figures, as SVG and PDF; the page still has them",
    )
    given = parser.parse_args(arguments)
    with ended_in_words():
        if given.pictures and any(given.output.glob(f"*/{CHECKPOINT}")):
            print("drawing pictures of trained networks; --no-pictures leaves them out", flush=True)
        to = given.to or given.output
        written = report(given.output, to, pictures=given.pictures, figures=given.figures)
        from ablations.launch.display import count
        from ablations.reporting.evidence import gather
        from ablations.reporting.labels import tally

        for section in gather(given.output).sections:
            found = [f"{title.lower()}: {tally(members)}" for title, members in section.groups]
            print(f"{section.title}: {'; '.join(found) or 'no claims'}")
        for path in written:
            if path.parent == to:
                print(f"{path} ({path.stat().st_size / 1024:,.0f} kB)")
        if drawn := [path for path in written if path.parent != to]:
            print(f"{to / FIGURES} ({count(len(drawn), 'file')})")


if __name__ == "__main__":
    main()
