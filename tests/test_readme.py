"""What the README says of the repository."""

import csv
import importlib.util
import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

from ablations.reporting.claims import rows_of
from ablations.reporting.documents import results
from ablations.reporting.evidence import gather

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_every_file_that_the_readme_links_to_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_value_of_every_technique_is_in_the_table():
    from ablations.techniques import Techniques

    for name, field in Techniques.__dataclass_fields__.items():
        rows = re.findall(rf"^\| `{name}` \| (.*) \|", README, re.M)
        assert len(rows) == 1, f"{name} is not in the table of README.md, What to set"
        missing = [m.value for m in type(field.default) if f"`{m.value}`" not in rows[0]]
        assert not missing, f"{name}={missing} is not in the table of README.md, What to set"


def test_the_results_are_those_of_the_committed_records():
    spec = importlib.util.spec_from_file_location("publish", ROOT / "results/publish.py")
    assert spec
    assert spec.loader
    publish = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(publish)
    assert publish.studies()
    for page in publish.PAGES:
        text = page.read_text()
        assert publish.with_results(text) == text, "next step: make results"
    effects = unescape(publish.FIGURE.read_text())
    for result, _ in publish.claims():
        for row in rows_of(result):
            if row.verdict and row.verdict.n and row.level != "secondary":
                assert row.ours.replace(" of the test error", "") in effects, "see above"
    for folder in publish.studies():
        assert results(gather(folder)) == (folder / "RESULTS.md").read_text(), "see above"


def test_the_errors_at_neighboring_rates_are_those_of_the_records():
    page = (ROOT / "docs/results.md").read_text()
    rows = re.findall(r"^\| .* \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| `(\w{12})` \|$", page, re.M)
    assert len(rows) == 5
    for *errors, run_id in rows:
        run = json.loads((ROOT / f"results/main/records/{run_id}.json").read_text())
        sources = run["curve"][-1]["val"], run["train"], run["test"]["center"]
        assert errors == [f"{100 * source['top1']:.2f}" for source in sources]


def test_numpy_and_scipy_alone_give_the_same_verdicts():
    script = [sys.executable, str(ROOT / "docs/verdict_by_hand.py")]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    lines = []
    for study in ("relu", "larger", "main"):
        file = ROOT / f"results/{study}/verdicts.csv"
        for row in csv.DictReader(file.read_text().splitlines()):
            mine = study != "main" or row["claim"] == "two_towers_beat_half_the_kernels"
            if mine and row["estimate"]:  # a claim with parts has one for each part only
                keys = "estimate", "low", "high", "margin"
                estimate, low, high, margin = (f"{float(row[key]):.3f}" for key in keys)
                lines.append(
                    f"{study}: {estimate}x [{low}, {high}], margin {margin}x: {row['label']}"
                )
    assert done.stdout.splitlines() == lines
