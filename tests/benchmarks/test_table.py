from pathlib import Path

from benchmarks.measure import missing, pair
from benchmarks.table import END, START, cells, into, markdown, read, save

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_saved_is_read_back(tmp_path):
    rows = {"one": [pair("w", "p", [1.0], [2.0], 1.5)], "two": [missing("w", "q")]}
    save(tmp_path / "found.json", {"cores": 2}, rows)
    assert read(tmp_path / "found.json") == ({"cores": 2}, rows)
    assert read(tmp_path / "none.json") == ({}, {})


def test_a_row_shows_the_median_its_quartiles_and_a_missed_goal():
    row = pair("w", "p", [1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], 4.0)
    assert cells(row) == ["w", "p", "3 [2, 4] × as fast", "≥ 4", "**no**"]
    assert cells(missing("w", "p")) == ["w", "p", "not installed", "", ""]


def test_the_block_replaces_the_one_before_or_follows_the_verdicts():
    text = "a\n<!-- verdicts -->\nb\n<!-- /verdicts -->\nc\n"
    once = into(text, "new")
    assert once == f"a\n<!-- verdicts -->\nb\n<!-- /verdicts -->\n\n{START}\nnew\n{END}\nc\n"
    assert into(once, "newer") == once.replace("new", "newer")


def test_the_readme_shows_the_committed_figures():
    readme = (ROOT / "README.md").read_text()
    assert into(readme, markdown(*read(ROOT / "benchmarks/results/cpu.json"))) == readme
    assert START in readme
