"""``python ablations/dashboard.py`` builds the workspace and the report of a W&B project."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from ablations.config import ConfigError, Logger
from ablations.errors import ended_in_words
from ablations.keys import OUTPUT, command_line
from ablations.reporting.evidence import gather


def save_boards(output: Path, entity: str | None, project: str) -> list[str]:
    """Build or update the workspace and the report of a project from local records.

    Args:
        output: Folder of the runs.
        entity: Team or user; None takes the account's default.
        project: The project.

    Returns:
        Their URLs.

    Raises:
        ConfigError: A package, a login or records are missing, or W&B fails.
    """
    if find_spec("wandb_workspaces") is None:
        raise ConfigError(
            "dashboards need the package wandb-workspaces, which is not installed; next step: "
            "pip install 'alexnet-ablations[dashboard]'"
        )
    sections = gather(output).sections
    # Imported here, so that the errors above appear at once.
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    try:
        if not wandb.login(prompt=False):
            raise ConfigError(
                "dashboards are stored by W&B, and this machine is not logged in; next step: "
                "`wandb login`, and unset WANDB_MODE if it is set"
            )
        from ablations.tracking import workspace

        entity = entity or wandb.Api(timeout=30).default_entity or ""
        return workspace.save(output, entity, project, sections)
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"W&B: {reason}; next step: `wandb login`, or try again later") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=command_line("dashboard"),
        description="Build or update the W&B workspace and report of a project.",
        epilog="Upload runs that were logged offline: wandb sync OUTPUT/*/wandb/latest-run",
        parents=[OUTPUT],
    )
    parser.add_argument(
        "--project", default=Logger().project, help="W&B project (default: %(default)s)"
    )
    parser.add_argument("--entity", help="W&B team or user (default: the account's)")
    given = parser.parse_args(arguments)
    with ended_in_words():
        print(*save_boards(given.output, given.entity, given.project), sep="\n")


if __name__ == "__main__":
    main()
