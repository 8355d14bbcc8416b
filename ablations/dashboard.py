"""``python ablations/dashboard.py``: a W&B project that opens arranged, from the local records."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.board.agents import write_agent_sweep
from ablations.claim_file import find
from ablations.composition import experiment_names, shipped
from ablations.config import ConfigError, Logger
from ablations.errors import ended_in_words
from ablations.page.evidence import gather


def _boards(given: argparse.Namespace) -> list[str]:
    if find_spec("wandb_workspaces") is None:
        raise ConfigError(
            "dashboards are built by the package wandb-workspaces, which is not installed; next "
            "step: pip install 'alexnet-ablations[dashboard]'"
        )
    chapters = gather(given.output).chapters
    if not given.print:
        _require_login()
    from ablations.board import layout
    from ablations.board.sync import Place, explained

    if given.print:
        return [layout.outline(Place(given.project, given.entity), chapters)]
    with explained():
        return layout.save(given.output, Place(given.project, _entity(given)), chapters)


def _require_login() -> None:
    import wandb

    # What the client says of each run it opens and closes would bury what this command says.
    wandb.setup(wandb.Settings(silent=True))
    if not wandb.login(prompt=False, verify=False):
        raise ConfigError(
            "dashboards live on a W&B server, and this machine is not logged in; next step: `wandb "
            "login`, or look at the dashboards' outline with --print"
        )


def _entity(given: argparse.Namespace) -> str:
    import wandb

    return given.entity or wandb.Api(timeout=30).default_entity or ""


def _sync(given: argparse.Namespace) -> None:
    # Before what is imported next, which takes long to load.
    gather(given.output)
    _require_login()
    from ablations.board.sync import Place, explained, sync

    with explained():
        place = Place(given.project, _entity(given))
    sent, there = sync(
        given.output,
        place,
        checkpoints=given.checkpoints,
        tell=lambda text: print(f"send  {text}", flush=True),
    )
    print(f"sent {sent} to {place.entity}/{place.project}; {there} were there already")


def _write_agents() -> list[Path]:
    folder = shipped("sweeps")
    claims = find(["all"], folder, experiment_names())
    return [write_agent_sweep(claim, folder / "wandb") for claim in claims]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(
        prog="dashboard",
        description="Build or refresh the W&B workspace and report of a project.",
        epilog="The local records are the truth: a project can be rebuilt from them at any time.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs"), help="folder of the runs (default: runs)"
    )
    parser.add_argument(
        "--project", default=Logger().project, help="W&B project (default: %(default)s)"
    )
    parser.add_argument("--entity", help="W&B team or user (default: the account's)")
    parser.add_argument(
        "--sync", action="store_true", help="first send finished runs and verdicts it lacks"
    )
    parser.add_argument("--checkpoints", action="store_true", help="with --sync: checkpoints, too")
    parser.add_argument(
        "--print", action="store_true", help="print the outline of both and send nothing"
    )
    parser.add_argument(
        "--agents",
        action="store_true",
        help="write sweeps/wandb/, sweeps for W&B's agents, from the claims; send nothing",
    )
    given = parser.parse_args(arguments)
    if given.checkpoints and not given.sync:
        parser.error("--checkpoints goes with --sync")
    if given.print and given.sync:
        parser.error("--print sends nothing: leave out --sync")
    with ended_in_words():
        if given.agents:
            print(*_write_agents(), sep="\n")
            return
        if given.sync:
            _sync(given)
        for line in _boards(given):
            print(line)


if __name__ == "__main__":
    main()
