from pathlib import Path

import pytest

from benchmarks.__main__ import BLOCKS
from benchmarks.goals import CPU
from benchmarks.measure import Row, missing
from benchmarks.table import cells, into, markdown, read, save

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results"


def test_what_is_saved_is_read_back(tmp_path):
    rows = {"one": [Row("w", "p", [1.0], [2.0])], "two": [missing("w", "q")]}
    save(tmp_path / "found.json", {"cores": 2}, rows)
    assert read(tmp_path / "found.json") == ({"cores": 2}, rows)
    assert read(tmp_path / "none.json") == ({}, {})


def test_a_row_shows_the_median_its_quartiles_and_a_missed_goal():
    row = Row("w", "p", [1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert cells(row, {("w", "p"): 4.0}) == ["w", "p", "3 [2, 4] × as fast", "≥ 4", "**no**"]
    assert cells(missing("w", "p"), {}) == ["w", "p", "not installed", "", ""]


def execution(*rows):
    machine = {"processor": "P", "threads": 1, "cores": 2, "torch": "2", "command": "c"}
    return machine, {"group": list(rows)}


def test_the_second_execution_stands_beside_the_first():
    first = execution(Row("w", "p", [1.0], [3.0]), Row("w", "q", [1.0], [1.0]))
    second = execution(Row("w", "p", [1.0], [1.5]))
    lines = markdown(first, second, {("w", "p"): 2.0}).splitlines()
    assert lines[2] == "| w | p | 3 × as fast | 1.5 | ≥ 2 | one of two |"
    assert lines[3] == "| w | q | 1 × as fast |  |  |  |"
    assert lines[5] == "P, 1 thread(s) of 2 cores, torch 2; measured with `c`."


def test_the_block_replaces_the_one_of_its_name():
    text = "a\n<!-- {0} -->\nold\n<!-- /{0} -->\nc\n"
    both = text.format("speed") + text.format("networks")
    replaced = text.replace("old", "new").format("networks")
    assert into(both, "new", "networks") == text.format("speed") + replaced


@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_shows_the_committed_figures_and_the_goals(block):
    file, goals = BLOCKS[block]
    text = (ROOT / "docs/speed.md").read_text()
    executions = read(RESULTS / f"{file}.json"), read(RESULTS / f"{file}-again.json")
    assert f"<!-- {block} -->" in text
    assert into(text, markdown(*executions, goals), block) == text


def test_every_goal_is_of_a_row():
    groups = [g for path in RESULTS.glob("*.json") for g in read(path)[1].values()]
    rows = {(row.workload, row.peer) for group in groups for row in group}
    # The rows of plans are from before Hydra composed each run, so they are not committed.
    assert {workload for workload, _ in CPU.keys() - rows} <= {
        f"plan of {count} runs" for count in (1, 10, 100)
    }
