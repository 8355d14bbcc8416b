"""The documentation says what is so: its example is a claim, its notebook runs, its site builds."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from ablations.claim_file import find
from ablations.study.design import design
from ablations.techniques.edition import Details

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def test_the_example_of_a_claim_is_one(tmp_path):
    [text] = re.findall(r"```yaml\n(.*?)```", (DOCS / "claim.md").read_text(), re.DOTALL)
    (tmp_path / "bias_one_helps_tanh.yaml").write_text(text)
    claims = find(["all"], tmp_path, ["smoke"])
    study = design(claims, [f"output={tmp_path}"], None, 0, report=lambda line: None)
    assert [case.name for case in study.cases] == ["bias_one_helps_tanh"]


def test_the_differences_that_the_edition_covers_are_all_in_its_table():
    rows = [
        r for r in (DOCS / "text_and_code.md").read_text().splitlines() if r.endswith("| yes |")
    ]
    # The noise's power and divisor share a row.
    assert len(rows) == len(fields(Details)) - 1


def test_every_page_is_in_the_navigation():
    entries = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text())
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert set(entries) == pages  # simulation.md is named as part of a page


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reports/cifar10_small.html").exists()
    assert "0.4 points" in (tmp_path / "results/index.html").read_text()
    for page in tmp_path.rglob("index.html"):  # a definition whose markup nobody reads
        assert not re.search(r"\n:\s", page.read_text()), page
        assert "--8" not in page.read_text(), page  # an include that nothing reads


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom():
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "claim.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(DOCS)}}).execute()
    texts = ["".join(o.get("text", "") for o in cell.get("outputs", ())) for cell in notebook.cells]
    assert "\x1b" not in "".join(texts)  # what redraws a terminal
    shown = texts[-1]
    assert re.search(r"points \[.*\]: (inconclusive|reproduced|contradicted|direction only)", shown)
