"""``python ablations/report.py`` writes a report, tables and figures from local records."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.errors import ended_in_words, writable
from ablations.files import write_atomically
from ablations.keys import OUTPUT, command_line
from ablations.record import CHECKPOINT
from ablations.words import count

if TYPE_CHECKING:
    from ablations.reporting.evidence import Evidence

MARKDOWN, PAGE = "RESULTS.md", "report.html"
RUNS, VERDICTS, LATEX, FIGURES = "runs.csv", "verdicts.csv", "verdicts.tex", "figures"
COMPARISON = "comparison"


def report(
    evidence: "Evidence", to: Path, *, pictures: bool = True, figures: bool = True
) -> list[Path]:
    """Write a report on folders of runs; the same records give the same files.

    Args:
        evidence: What :func:`ablations.reporting.evidence.gather` returned.
        to: Folder of the report, created if it does not exist.
        pictures: Draw kernels, predictions, neighbors and the most wrong images; needs checkpoints,
            predictions and torch.
        figures: Also save the figures as files.

    Returns:
        The written files.

    Raises:
        ConfigError: The folder of the report cannot be written.
    """
    # Imported here, so that a lack of memory is reported in one line.
    from ablations.reporting.documents import page, results, verdicts_tex
    from ablations.reporting.exports import runs_csv, verdicts_csv
    from ablations.reporting.plots import draw as draw_plots
    from ablations.reporting.plots import save

    writable(to, f"--to {to}", "--to FOLDER")
    drawn = {}
    if pictures:
        # Only pictures need torch, which is slow to import.
        from ablations.reporting.pictures import draw

        drawn = {section.key: draw(section) for section in evidence.sections}
        evidence.missing.extend(
            f"{section.name}: no run has a checkpoint here, so there are no pictures of trained "
            "networks."
            for section in evidence.sections
            if section.runs and not drawn[section.key].run
        )
    plots = draw_plots(evidence.sections)
    written = {
        MARKDOWN: results(evidence),
        PAGE: page(evidence, plots, drawn),
    }
    if any(section.runs for section in evidence.sections):
        written[RUNS] = runs_csv(evidence)
    if any(section.results for section in evidence.sections):
        written |= {VERDICTS: verdicts_csv(evidence), LATEX: verdicts_tex(evidence)}
    for name, text in written.items():
        write_atomically(to / name, text)
    files = save(to / FIGURES, plots) if figures else []
    return [*(to / name for name in written), *files]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=command_line("report"),
        description="Write the report from local records: RESULTS.md, report.html, runs.csv, "
        "figures and, if there are claims, verdicts.csv and verdicts.tex.",
        parents=[OUTPUT],
    )
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="folder of the runs, in place of --output; several compare their studies",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="FOLDER",
        help=f"folder of the report (default: the folder of the runs; {COMPARISON} for several)",
    )
    parser.add_argument(
        "--no-pictures",
        dest="pictures",
        action="store_false",
        help="leave out kernels, predictions, neighbors and the most wrong images, which need the "
        "folders of the runs",
    )
    parser.add_argument(
        "--no-figures",
        dest="figures",
        action="store_false",
        help="do not save figures as SVG and PDF; report.html still has them",
    )
    given = parser.parse_intermixed_args(arguments)
    folders = given.folders or [given.output]
    with ended_in_words():
        from ablations.reporting.evidence import gather
        from ablations.reporting.labels import tally

        evidence = gather(*folders)
        to: Path = given.to or (Path(COMPARISON) if folders[1:] else folders[0])
        if given.pictures and any(any(path.glob(f"*/{CHECKPOINT}")) for path in folders):
            print("drawing pictures of trained networks (--no-pictures skips them)", flush=True)
        written = report(evidence, to, pictures=given.pictures, figures=given.figures)
        for section in evidence.sections:
            found = [f"{title.lower()}: {tally(r)}" for title, r in section.groups.items()]
            print(f"{section.title}: {'; '.join(found) or 'no claims'}")
            if left := len(section.unfinished):
                print(f"  {count(left, 'claim')} not decided; next step: repeat reproduce.py")
        print(*(path for path in written if path.parent == to), sep="\n")
        if drawn := [path for path in written if path.parent != to]:
            print(f"{to / FIGURES} ({count(len(drawn), 'file')})")


if __name__ == "__main__":
    main()
