"""What other machines run: every command of the workflow and of the image exists."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from ablations import reproduce
from ablations.claims.files import study_files
from ablations.composition import compose

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(path.read_text())["jobs"]


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def commands() -> list[str]:
    """Command lines of the workflows and of the image."""
    lines = [
        line
        for path in WORKFLOWS
        for step in steps(path)
        for line in step.get("run", "").split("\n")
    ]
    (start,) = re.findall(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    lines.append(start.replace(",", "").replace('"', ""))
    # What the image is given to run; its own options come before its name.
    return [re.sub(r"^docker run .* ablations ", "", line) for line in lines if line]


@pytest.mark.parametrize("line", commands())
def test_every_command_exists(line: str):
    program, *words = shlex.split(line)
    match program:
        case "make":
            targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(words) <= set(targets)
        case "bash":
            assert all((ROOT / word).is_file() for word in words)
        case "docker":
            assert words[0] == "build"
        case "source":
            assert words == [".venv/bin/activate"]  # the Makefile's
        case "python":
            assert (ROOT / words[0]).is_file()
            overrides = [word for word in words if "=" in word]
            compose([re.sub(r",.*", "", word) for word in overrides])
            if words[0].endswith("reproduce.py"):
                options = reproduce._parser().parse_intermixed_args(words[1:])
                assert {word for word in options.words if "=" not in word} <= set(study_files())
        case _:
            pytest.fail(line)


def test_the_workflow_runs_the_whole_test_command():
    assert "bash .ci/run" in commands()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_oldest_python_of_the_package_is_tested():
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    matrices = [
        job["strategy"]["matrix"] for job in jobs(WORKFLOWS[0]).values() if "strategy" in job
    ]
    (oldest,) = {min(matrix["python"], key=lambda v: int(v[2:])) for matrix in matrices}
    assert requires == f">={oldest}"


def test_the_image_has_what_the_package_is_built_from():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / name).exists() for name in kept)
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = pyproject["project"]
    wanted = [*wheel["packages"], *wheel["force-include"], project["readme"], "pyproject.toml"]
    wanted += project["license-files"]
    assert [name for name in wanted if not any(fnmatch(name, pattern) for pattern in kept)] == []


def test_any_user_of_the_image_can_write_where_its_commands_write():
    (folders,) = re.findall(r"--mode 1777 (.*)", DOCKERFILE)
    studies = reproduce._parser().parse_args([]).results  # has the ledgers
    assert {"runs", "exported", "/cache", str(studies)} <= set(folders.split())
