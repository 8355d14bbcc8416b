from pathlib import Path

from benchmarks.measure import missing, pair
from benchmarks.table import cells, into, markdown, read, save

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


def execution(*rows):
    machine = {"processor": "P", "threads": 1, "cores": 2, "torch": "2", "command": "c"}
    return machine, {"group": list(rows)}


def test_the_second_execution_stands_beside_the_first():
    first = execution(pair("w", "p", [1.0], [3.0], 2.0), pair("w", "q", [1.0], [1.0]))
    second = execution(pair("w", "p", [1.0], [1.5], 2.0))
    lines = markdown(first, second).splitlines()
    assert lines[2] == "| w | p | 3 × as fast | 1.5 | ≥ 2 | one of two |"
    assert lines[3] == "| w | q | 1 × as fast |  |  |  |"
    assert lines[5] == "P, 1 thread(s) of 2 cores, torch 2; two executions of `c`."


def test_the_block_replaces_the_one_of_its_name():
    text = "a\n<!-- {0} -->\nold\n<!-- /{0} -->\nc\n"
    both = text.format("speed") + text.format("networks")
    replaced = text.replace("old", "new").format("networks")
    assert into(both, "new", "networks") == text.format("speed") + replaced


def test_the_page_shows_the_committed_figures():
    text = (ROOT / "docs/speed.md").read_text()
    results = ROOT / "benchmarks/results"
    executions = read(results / "cpu.json"), read(results / "cpu-again.json")
    assert "<!-- speed -->" in text
    assert into(text, markdown(*executions)) == text
