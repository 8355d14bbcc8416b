"""The layers of the modules, which pyproject.toml states, and what a command loads at first."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def test_the_contracts_of_import_linter_are_kept():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_command_answers_before_what_its_work_needs_is_loaded():
    code = "import sys, ablations.run, ablations.reproduce, ablations.report; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not {"torch", "wandb", "scipy", "submitit"} & set(done.stdout.split())
