"""``python ablations/dashboard.py``: workspace and report of a W&B project, from local records."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.claims.files import study_files
from ablations.config import ConfigError, Logger
from ablations.errors import ended_in_words, writable
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

    # The client prints several lines for each run that it opens and closes.
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
    gather(given.output)  # a missing folder is told before slow imports
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


def _write_agents(folder: Path) -> list[Path]:
    # Composing the arms of a study loads Hydra and the networks.
    from ablations.board.agents import write_agent_sweeps

    writable(folder, f"--agents {folder}", "--agents FOLDER")
    return [path for study in study_files().values() for path in write_agent_sweeps(study, folder)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(
        prog="dashboard",
        description="Build or refresh the W&B workspace and report of a project.",
        epilog="A project can be rebuilt from the local records at any time.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs"), help="folder of the runs (default: runs)"
    )
    parser.add_argument(
        "--project", default=Logger().project, help="W&B project (default: %(default)s)"
    )
    parser.add_argument("--entity", help="W&B team or user (default: the account's)")
    parser.add_argument(
        "--sync", action="store_true", help="first send finished runs, verdicts and report"
    )
    parser.add_argument("--checkpoints", action="store_true", help="with --sync: checkpoints, too")
    parser.add_argument(
        "--print", action="store_true", help="print the outline of both and send nothing"
    )
    parser.add_argument(
        "--agents",
        type=Path,
        metavar="FOLDER",
        help="write sweep files for W&B's agents, one for each claim of a study, and send nothing",
    )
    given = parser.parse_args(arguments)
    if given.checkpoints and not given.sync:
        parser.error("--checkpoints goes with --sync")
    if given.print and given.sync:
        parser.error("--print sends nothing: leave out --sync")
    with ended_in_words():
        if given.agents:
            print(*_write_agents(given.agents), sep="\n")
            return
        if given.sync:
            _sync(given)
        for line in _boards(given):
            print(line)


if __name__ == "__main__":
    main()
