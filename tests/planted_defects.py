"""Plants defects: each behavior that this suite must never lose has one that its tests must notice.

``python tests/planted_defects.py [WORD...]`` plants every defect of ``planted_defects.yaml`` (or
those whose behavior has the words) in a copy of the repository, one at a time, and runs the tests
beside it: they pass without the defect and fail with it. It exits with 1 where a defect goes
unnoticed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]


class Defect(NamedTuple):
    """A behavior and how to break it.

    Attributes:
        behavior: What must hold.
        file: Where it is broken.
        old: Text that occurs there once.
        new: What takes its place.
        test: Tests that must fail then, as pytest names them.
    """

    behavior: str
    file: str
    old: str
    new: str
    test: str


def read() -> list[Defect]:
    """Return all defects, in the order of their file."""
    subjects = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [Defect(**entry) for entries in subjects.values() for entry in entries]


def run_tests(words: str, copy: Path) -> subprocess.CompletedProcess:
    """Run the tests that ``words`` name in a copy of the repository."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-m", "not gpu")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words.split(), *options],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},  # for what the tests start elsewhere
        capture_output=True,
        text=True,
    )


@cache
def passes(words: str, copy: Path) -> bool:
    """Whether tests pass without a defect; what fails anyway notices nothing."""
    return run_tests(words, copy).returncode == 0


def flaw(defect: Defect, copy: Path) -> str:
    """Plant a defect in a copy; return an empty text if its tests notice it, or the reason."""
    path = copy / defect.file
    source = path.read_text()
    if source.count(defect.old) != 1:
        return f"its place in {defect.file} occurs {source.count(defect.old)} times"
    if not passes(defect.test, copy):
        return f"pytest {defect.test}: fails without it"
    path.write_text(source.replace(defect.old, defect.new))
    try:
        done = run_tests(defect.test, copy)
    finally:
        path.write_text(source)
    if done.returncode == 1:
        return ""
    return f"pytest ended with {done.returncode}: {done.stdout.strip().splitlines()[-1:]}"


def main() -> None:
    """Plant the defects that the arguments name, all without any."""
    chosen = [d for d in read() if all(word in d.behavior for word in sys.argv[1:])]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs"))
        for defect in chosen:
            reason = flaw(defect, copy)
            missed += bool(reason)
            print(
                f"{'UNNOTICED' if reason else 'noticed  '}  {defect.behavior}  {reason}", flush=True
            )
    sys.exit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
