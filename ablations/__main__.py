"""The console script: ``ablations run ...`` is the same as ``python ablations/run.py ...``."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path

from ablations import __version__

COMMANDS = {
    "dashboard": "build or update the W&B workspace and report",
    "export": "write a trained network in plain torch, with a model card",
    "predict": "print the most probable classes of images",
    "prepare": "decode the data of an experiment once",
    "report": "write a report, tables and figures from local records",
    "reproduce": "test claims of the paper: tune, check, train, decide",
    "run": "train one run or a sweep",
}


def main() -> None:
    """Hand the arguments after the subcommand to its module."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "-sc":  # Hydra's option for shell completion
        _complete()
        return
    if "--version" in sys.argv[1:]:  # after a command, too, where Hydra would print its own
        print(f"ablations {__version__}")
        return
    if name in COMMANDS:
        # The name in usage lines, also after `python -m ablations`.
        sys.argv[:2] = [f"{Path(sys.argv[0]).with_name('ablations')} {name}"]
        import_module(f"ablations.{name}").main()
        return
    lines = [f"  ablations {command:<10} {what}" for command, what in COMMANDS.items()]
    lines.append(f"  ablations {'--version':<10} print the version")
    text = "\n".join(["usage: ablations COMMAND [ARGUMENTS]", "", *lines])
    if name in {"-h", "--help"}:
        print(text)
        return
    sys.exit(f"error: there is no command `{name}`\n{text}")


def _complete() -> None:
    """Print completions for a shell, or the script that installs them.

    Hydra completes only commands of one word, and only the keys of ``run``.
    """
    line = os.environ.get("COMP_LINE", "ablations run ")
    command = re.match(r"(\S+) +(\w+) ", line)
    match command and command[2]:
        case "run" | "prepare":
            os.environ["COMP_LINE"] = re.sub(r"^(\S+) +\w+ ", r"\1 ", line)
            import_module("ablations.run").main()
        case "reproduce":
            files = import_module("ablations.claims.files")
            print(*files.study_files(), *files.claim_files())
        case "predict" | "export":
            print(*(record.parent.name for record in Path("runs").glob("*/record.json")))
        case None:
            print(*COMMANDS)


if __name__ == "__main__":
    main()
