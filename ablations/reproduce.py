"""``python ablations/reproduce.py`` tests claims of the paper and gives each a label.

It tunes both arms on tuning seeds, checks whether the claim can be tested at this scale (the gate),
trains the arms over paired seeds, and decides. The same command resumes an interrupted study; no
run is trained twice, and claims share runs.
"""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from textwrap import fill, indent

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.text import Text

from ablations.claims.files import ad_hoc, read_claims, read_study, study_files
from ablations.claims.schema import Claim, Study
from ablations.config import ConfigError
from ablations.errors import ended_in_words
from ablations.keys import command_line
from ablations.launch.display import make_console, show
from ablations.words import count

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Raises:
        SystemExit: 1 if a run failed or after an error, otherwise 0, also if the budget ended
            the study.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if options.seeds is not None and options.seeds < 2:
        parser.error("argument --seeds: must be at least 2")
    if options.rate is not None and not options.rate > 0:
        parser.error("argument --rate: must be above 0")
    console = make_console()
    overrides = [word for word in options.words if "=" in word]
    names = [word for word in options.words if "=" not in word]
    with ended_in_words():
        if not names:
            _list(console)
            return
        study, asked, claims, overrides = _find(names, overrides)
        # Imported after the names are checked, because scipy is slow to load.
        from ablations.claims.runs import Runs
        from ablations.claims.study import StudyRun
        from ablations.claims.tables import show_plan, show_verdicts

        runs = Runs(
            study,
            overrides,
            console,
            None if options.budget is None else time.monotonic() + options.budget,
            plan_only=options.plan,
        )
        run = StudyRun(runs, asked, claims, options.results, options.seeds)
        wanted = [claim.name for claim in asked]
        show_plan(console, run, options.rate)
        if options.plan:
            return
        found = run.train(lambda result: show_verdicts(console, result, wanted))
        show_verdicts(console, found, wanted, last=True)
        show(console, "verdicts", str(runs.output / "verdicts.json"))
        elsewhere = runs.output != Path("runs").resolve()
        place = f" --output {quote(runs.given.output)}" if elsewhere else ""
        show(console, "next", f"{command_line('report')}{place}")
    sys.exit(1 if runs.failed else 0)


def _list(console: Console) -> None:
    console.print(Text("Studies", "bold"))
    for path in study_files().values():
        study, claims = read_study(path)
        line = f"  {study.title} ({count(len(claims), 'claim')})"
        console.print(Text.assemble("  ", (study.name, "bold"), line))
    console.print(Text("Claims", "bold"))
    for claim in read_claims(["all"]):
        section = f"§{claim.section}" if claim.section[0].isdigit() else claim.section
        console.print(Text.assemble("  ", (claim.name, "bold"), f" ({section})"))
        console.print(Text(indent(fill(claim.statement, console.width - 6), " " * 6)))
    console.print(
        "Next step: name a study, one or more claims, a pattern such as '*overfitting', or all."
    )


def _find(
    names: Sequence[str], overrides: Sequence[str]
) -> tuple[Study, list[Claim], list[Claim], list[str]]:
    """Return the study, the requested claims, all claims of the study, and other overrides."""
    studies = study_files()
    chosen = [name for name in names if name in studies]
    if len(chosen) > 1:
        raise ConfigError(f"{' '.join(chosen)}: several studies; next step: give one study")
    if not chosen:
        asked = read_claims(names)
        claims = read_claims(["all"])
        study, rest = ad_hoc(asked, claims, overrides)
        return study, asked, claims, rest
    study, claims = read_study(studies[chosen[0]])
    wanted = {claim.name for claim in read_claims([n for n in names if n not in (*chosen, "all")])}
    if not wanted:
        return study, claims, claims, list(overrides)
    if unknown := sorted(wanted - {claim.name for claim in claims}):
        raise ConfigError(
            f"{unknown[0]}: not a claim of the study {study.name}; its claims are "
            f"{', '.join(study.claims)}"
        )
    return study, [claim for claim in claims if claim.name in wanted], claims, list(overrides)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_line("reproduce"),
        description="Test claims of the paper: tune, check the gate, train pairs of runs, label.",
        epilog="Without a name, lists studies and claims. Repeat a command to resume it.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="STUDY | CLAIM | KEY=VALUE",
        help="a study, claims of that study, or claims alone; and overrides as for run.py",
    )
    parser.add_argument("--plan", action="store_true", help="show runs and power; train nothing")
    parser.add_argument(
        "--rate",
        type=float,
        metavar="N",
        help="training images/s of one device, for the hours of the plan (default: as measured in "
        "finished runs)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train at most N pairs; the planned looks and error rates stay the same",
    )
    parser.add_argument(
        "--budget",
        type=_seconds,
        metavar="TIME",
        help="start no run after this time, such as 90min, 2h or 1d",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="folder of the ledgers, STUDY/ledger.jsonl (default: results)",
    )
    return parser


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30min, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]


if __name__ == "__main__":
    main()
