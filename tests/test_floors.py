"""The layers of the modules, and their names."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import ablations

PACKAGE = Path(ablations.__file__).parent

# Every module belongs to the first line that names it or a package around it, and imports from
# lower lines, from its own package, and from modules of its line that stand before it.
FLOORS = [
    # Standalone.
    "streams",
    "lrn_kernel",
    "files",
    "techniques",
    "stats",
    # Configuration.
    "config",
    "arms errors keys grid",
    # Results of a run.
    "record",
    "metrics",
    # Parts of a run.
    "data networks optimizer composition",
    # Training.
    "datamodule neighbors callbacks classifier loggers wandb_logger loop",
    "train",
    # Many runs, claims, and what is shown of them.
    "launch claims page board",
    # Commands.
    "prepare run reproduce report dashboard",
    "__main__",
]


@cache
def modules() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",) and "_shipped" not in parts:
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def source(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(source(module).read_text())


def imported(module: str, nodes: list[ast.stmt]) -> Iterator[str]:
    """Our modules that these statements import, without the package's name."""
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from imported(module, node.body)
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative import"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [f"ablations.{name}" for name in modules()]
            names = [name if name in known else str(node.module) for name in inside]
        yield from (n.removeprefix("ablations.") for n in names if n.startswith("ablations."))


def floor(module: str) -> int:
    top = module.partition(".")[0]
    for number, line in enumerate(FLOORS):
        if top in line.split():
            return number
    pytest.fail(f"{module}: name its floor in FLOORS")


@pytest.mark.parametrize("module", modules())
def test_imports_go_down_only(module: str):
    for other in imported(module, tree(module).body):
        if other.partition(".")[0] == module.partition(".")[0]:
            continue  # its own package; python itself refuses circles at module level
        line = FLOORS[floor(module)].split()
        lower = floor(other) < floor(module)
        before = floor(other) == floor(module) and line.index(other.partition(".")[0]) < line.index(
            module.partition(".")[0]
        )
        assert lower or before, f"{module} imports {other}"


# Commands must answer before what only a part of their work needs is loaded.
LATE = {"dashboard", "launch.worker", "loggers", "report", "reproduce"}


@pytest.mark.parametrize("module", modules())
def test_imports_stand_at_module_level(module: str):
    functions = [n for n in ast.walk(tree(module)) if isinstance(n, ast.FunctionDef)]
    late = {name for function in functions for name in imported(module, list(ast.walk(function)))}  # type: ignore[arg-type]
    assert not late or module in LATE, f"{module} imports {late} inside a function"


def test_no_module_hides_another():
    # `python ablations/run.py` puts this folder on the path.
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    taken = sys.stdlib_module_names | packages_distributions().keys()
    assert not names & (taken - {"__main__", "__init__", "__pycache__", "ablations"})


def test_the_command_starts_without_torch():
    code = "import sys, ablations.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "torch" not in loaded
    assert "wandb" not in loaded


TECHNIQUES = [m for m in modules() if m.startswith("techniques.")]


@pytest.mark.parametrize("module", TECHNIQUES)
def test_every_technique_opens_with_its_card(module: str):
    card = ast.get_docstring(tree(module)) or ""
    headings = [line.rstrip(":") for line in card.splitlines() if line in HEADINGS]
    found = [name for name in ("Claim", "Source", "Variants", "Deviates") if f"{name}:" in card]
    assert found == ["Claim", "Source", "Variants", "Deviates"], headings


HEADINGS = ("Claim:", "Source:", "Variants:", "Deviates:")


def test_every_technique_is_a_key_with_a_file():
    from dataclasses import fields

    from ablations.techniques import Techniques

    assert sorted(f"techniques.{f.name}" for f in fields(Techniques)) == TECHNIQUES


@pytest.mark.parametrize("module", TECHNIQUES)
def test_the_examples_of_a_technique_call_what_they_document(module: str):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                assert f"{node.name}(" in text, node.name
