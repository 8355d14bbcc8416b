"""The documentation is correct: its examples work, its commands exist, its site builds."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ablations import dashboard, export, predict, report, reproduce
from ablations.claims.files import ad_hoc, claim_files, read_claims, study_files
from ablations.claims.runs import Runs
from ablations.composition import compose, experiment_names
from ablations.reporting.labels import RULES
from ablations.stats.labels import Label
from ablations.techniques.edition import Details

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]


@pytest.fixture
def example(tmp_path, monkeypatch) -> str:
    """The example of a claim in a folder of the user's; its name."""
    page = (DOCS / "claim.md").read_text()
    (name,) = re.findall(r"Save this as `sweeps/(\w+)\.yaml`", page)
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return name


def test_the_example_of_a_claim_is_one(example):
    claims = read_claims([example])
    study, _ = ad_hoc(claims, read_claims(["all"]), ["experiment=smoke"])
    runs = Runs(study, ["output=runs"], Console(quiet=True))
    runs.admit(claims)
    assert example in study.claims
    assert runs.exclusion(claims[0]) == ""


def commands() -> Iterator[tuple[str, str]]:
    """Each command line of the pages that starts one of ours, with its page."""
    for path in PAGES:
        for block in re.findall(r"```(?:bash)?\n(.*?)```", path.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip().startswith("python ablations/"):
                    yield path.name, line.partition("  #")[0].strip()


def test_every_command_is_one(example):
    found = list(commands())
    assert len(found) > 10
    # `<name>` and `$RANK` are placeholders.
    found = [line for line in found if not re.search(r"[<$]", line[1])]
    for page, line in found:
        program, *words = shlex.split(line)[1:]
        name = Path(program).stem
        try:
            _check(name, words, example)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{page}: {line}: {error}")


def _check(name: str, words: list[str], example: str) -> None:
    overrides = [word for word in words if re.match(r"[\w./]+=", word)]
    if name in ("run", "prepare"):
        plain = [word for word in words if word not in overrides]
        assert plain in ([], ["-m"], ["--help"], ["--hydra-help"], ["--cfg", "job"]), plain
        first = [re.sub(r"=(\w+)(,[\w,]+)+$", r"=\1", word) for word in overrides]
        first = [re.sub(r"=.*interval\((.*),.*", r"=\1", word) for word in first]
        # `null,ID` and `ID` stand for the id of a run; Hydra's own keys are its plugins'.
        compose([word for word in first if not word.startswith(("pretrained=", "hydra"))])
        return
    if name == "reproduce":
        given = reproduce._parser().parse_intermixed_args(words)
        names = [word for word in given.words if "=" not in word]
        known = {*claim_files(), *study_files(), example}
        assert all(word in known or "*" in word for word in names), names
        compose(overrides)
        return
    modules = (dashboard, export, predict, report)
    module = next(module for module in modules if module.__name__ == f"ablations.{name}")
    with redirect_stdout(StringIO()) as printed, suppress(SystemExit):
        module.main(["--help"])
    options = set(re.findall(r"--[\w-]+", printed.getvalue()))
    assert {word for word in words if word.startswith("--")} <= options, words


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.*(does not have many workers|log_every_n_steps|have no `val_dataloader`)",
    "ignore:The `srun` command is available",
)
def test_the_python_of_the_page_on_trained_networks_runs(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "runs" / finished.name)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 30, 20, 3), np.uint8)
    for folder in ("cats", "dogs", "."):
        Path(folder).mkdir(exist_ok=True)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(Path(folder) / f"{number}.png")
    Path("0.png").rename("image.png")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "trained.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        values: dict = {}
        exec(block.replace("RUN", finished.name), values)
    assert values["module"](values["pixels"]).shape == (18, 2)


def test_the_method_lists_every_label_in_the_order_of_the_rule():
    page = (DOCS / "method.md").read_text()
    rows = re.findall(r"^\| ([\w ]+?) \| ([\w ]+?) \| ", page.partition("## The labels")[2], re.M)
    told = [row for row in rows if row[0] != "label"]
    assert {label for label, _ in told} == {label.value for label in Label}
    assert all(Label(label).word(at_paper=True) == paper for label, paper in told)
    assert set(RULES) == set(Label)


def test_every_experiment_that_a_page_names_exists():
    known = {*experiment_names(), "NETWORK", "mine"}
    for path in PAGES:
        named = set(re.findall(r"experiment=(\w+)", path.read_text()))
        assert named <= known, path


def test_no_page_speaks_of_what_is_gone():
    gone = re.compile(
        r"\b(setting|network|dataset|stream|summary|recipe\.bias_rate|trainer\.nodes)=\w"
        r"|ablations/sweep\.py|ablations sweep\b|--anytime|--first-seed|sweeps/wandb"
        r"|ablations/study|claim_file"
    )
    for path in [*PAGES, DOCS / "claim.ipynb", ROOT / "mkdocs.yml"]:
        assert not gone.search(path.read_text()), (path, gone.search(path.read_text()))


def test_no_page_completes_python():
    """Hydra's completion of ``python`` executes every script behind which TAB is pressed."""
    for path in [*PAGES, ROOT / "README.md"]:
        for script in re.findall(r"(\S+) -sc install=", path.read_text()):
            assert script.endswith("ablations"), path


def test_the_differences_that_the_edition_covers_are_all_in_its_table():
    rows = [
        r for r in (DOCS / "text_and_code.md").read_text().splitlines() if r.endswith("| yes |")
    ]
    # The noise's power and divisor share a row.
    assert len(rows) == len(fields(Details)) - 1


def test_every_page_is_in_the_navigation():
    entries = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text())
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert sorted(entries) == sorted({*pages, "notebook.md"})  # a hook makes this one


def of_site(name: str) -> Any:
    """A module of the site, which is no package."""
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_notebook_has_its_outputs():
    text, pictures = of_site("hooks").read_notebook(json.loads((DOCS / "claim.ipynb").read_text()))
    assert re.search(rf"```text\n(.*\n)*.* pairs: ({'|'.join(Label)})\n```", text)
    assert "![Output of the cell above](notebook-0.png)" in text
    assert [content[:4] for content in pictures.values()] == [b"\x89PNG"]


def test_roles_in_docstrings_become_links():
    import griffe

    package = griffe.visit(
        "package", Path("package.py"), "class Run:\n    '''Of :meth:`Run.id`; :class:`Other`.'''\n"
    )
    of_site("roles").Roles().on_package(pkg=package, loader=None)
    assert package["Run"].docstring.value == (
        'Of <autoref identifier="package.Run.id" optional><code>Run.id</code></autoref>; '
        '<autoref identifier="Other" optional><code>Other</code></autoref>.'
    )


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    reports = {path.parent.name for path in (ROOT / "results").glob("*/report.html")}
    assert {path.stem for path in tmp_path.glob("reports/*.html")} == reports
    results = (tmp_path / "results/index.html").read_text()
    assert all(f"reports/{name}.html" in results for name in reports)
    for page in tmp_path.rglob("index.html"):  # a definition whose markup nobody reads
        assert not re.search(r"\n:\s", page.read_text()), page
        assert "--8" not in page.read_text(), page  # an include that nothing reads
        assert not re.search(r":[a-z]+:<code>", page.read_text()), page  # a role that nothing reads
        for paragraph in re.findall(r"<p>(.*?)</p>", page.read_text(), re.DOTALL):
            # A list or a block of code that its indentation has made text.
            assert not re.search(r"\s- (\*\*|<strong>)|```", paragraph), (page, paragraph)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom():
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "claim.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(DOCS)}}).execute()
    texts = ["".join(o.get("text", "") for o in cell.get("outputs", ())) for cell in notebook.cells]
    assert "\x1b" not in "".join(texts)  # what redraws a terminal
    assert re.search(rf"pairs: ({'|'.join(Label)})\n", texts[-1])
