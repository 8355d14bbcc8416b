"""``python ablations/reproduce.py``: from claims to verdicts.

Tunes what a claim tunes on seeds of its own, trains the two arms of every claim over paired seeds,
and decides. Nothing is trained twice: an interrupted sweep goes on where it was, and claims share
the runs that they have in common.
"""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console

from ablations.claim_file import find
from ablations.composition import compose, experiment_names, shipped
from ablations.errors import ended_in_words
from ablations.launch.display import show_nodes
from ablations.launch.nodes import find_place
from ablations.launch.start import follow, lead
from ablations.study.design import design
from ablations.study.runner import Runner

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command.

    Raises:
        SystemExit: 0 when every claim has its verdict, 1 after a failed run or an error.
    """
    options = _parser().parse_intermixed_args(arguments)
    console = Console()
    overrides = [word for word in options.words if "=" in word]
    names = [word for word in options.words if "=" not in word]
    with ended_in_words():
        claims = find(names or ["all"], shipped("sweeps"), experiment_names())
        if not names:
            for claim in claims:
                console.print(f"[bold]{claim.name}[/] ({claim.section})", highlight=False)
                console.print(f"    {claim.statement}", highlight=False)
            sys.exit("error: name a claim, several, a glob such as '*overfitting', or all")
        given = compose(overrides)
        place = None if options.plan else find_place([given.trainer])
        output = Path(given.output)
        if place is not None and place.rank > 0:
            sys.exit(follow(place, output))
        study = design(
            claims,
            overrides,
            options.seeds,
            options.first_seed,
            anytime=options.anytime,
            report=lambda line: console.print(f"[bold]data[/]  {line}"),
        )
        # Now that all is checked: scipy takes longer to load than all the rest.
        from ablations.study.conduct import conduct

        deadline = None if options.budget is None else time.monotonic() + options.budget
        with lead(place, output, lambda line: show_nodes(console, line)) as team:
            runner = Runner(study.output, console, deadline, team)
            code = conduct(study, runner, plan_only=options.plan)
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep",
        description="Put claims of the paper to the test: plan, train, decide.",
        epilog="Without a claim it lists them. The same command again continues, and trains "
        "nothing twice.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="CLAIM | KEY=VALUE",
        help="names of claims, globs or all; and overrides as for run.py, such as experiment=cifar10",
    )
    parser.add_argument("--plan", action="store_true", help="show runs and cost, train nothing")
    parser.add_argument(
        "--seeds",
        type=_pairs,
        metavar="N",
        help="decide once, after N pairs of runs; with --anytime, at N pairs at the latest",
    )
    parser.add_argument(
        "--anytime",
        action="store_true",
        help="decide after every pair, by intervals that stay valid however many --seeds a later "
        "call adds; they are wider",
    )
    parser.add_argument(
        "--first-seed",
        type=_seed,
        default=0,
        metavar="S",
        help="seed of the first pair (default 0)",
    )
    parser.add_argument(
        "--budget", type=_seconds, metavar="TIME", help="start no run after this: 90min, 2h, 1d"
    )
    return parser


def _pairs(text: str) -> int:
    if not text.isdigit() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pairs: 2 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: a whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30min, 2h or 1d")
    return float(match[1]) * _SECONDS[match[2]]


if __name__ == "__main__":
    main()
