"""The console script: ``ablations run ...`` is ``python ablations/run.py ...``."""

import sys
from importlib import import_module

COMMANDS = {
    "dashboard": "build or refresh the W&B workspace and report",
    "prepare": "make the data of an experiment ready, once",
    "report": "write RESULTS.md and report.html from local records",
    "reproduce": "test claims of the paper: tune, check, train, decide",
    "run": "train one run or a sweep",
}


def main() -> None:
    """Hand the arguments after the subcommand to its module."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv[:2] = [f"{sys.argv[0]} {name}"]
        import_module(f"ablations.{name}").main()
        return
    lines = [f"  ablations {command:<10} {what}" for command, what in COMMANDS.items()]
    text = "\n".join(["usage: ablations COMMAND [ARGUMENTS]", "", *lines])
    if name in {"-h", "--help"}:
        print(text)
        return
    sys.exit(f"error: there is no command `{name}`\n{text}")


if __name__ == "__main__":
    main()
