from pathlib import Path

from benchmarks.__main__ import BLOCKS, PAGE, RESULTS, with_tables
from benchmarks.goals import CPU
from benchmarks.measure import Row
from benchmarks.table import markdown, read, save


def test_what_is_saved_is_read_back(tmp_path: Path):
    rows = {"one": [Row("w", "p", [1.0], [2.0])], "two": [Row("w", "q", [], [], note="absent")]}
    save(tmp_path / "found.json", {"cores": 2}, rows)
    assert read(tmp_path / "found.json") == ({"cores": 2}, rows)
    assert read(tmp_path / "none.json") == ({}, {})


def test_the_second_execution_stands_beside_the_first():
    machine = {"processor": "P", "threads": 1, "cores": 2, "torch": "2", "command": "c"}
    first = [
        Row("w", "p", [1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]),
        Row("w", "q", [1.0], [1.0]),
        Row("w", "r", [], [], note="not installed"),
    ]
    second = [Row("w", "p", [1.0], [1.5])]
    executions = (machine, {"group": first}), (machine, {"group": second})
    lines = markdown(*executions, {("w", "p"): 2.0, ("w", "q"): 4.0}).splitlines()
    assert lines[2] == "| w | p | 3 [2, 4] × as fast | 1.5 | ≥ 2 | one of two |"
    assert lines[3] == "| w | q | 1 × as fast |  | ≥ 4 | **no** |"
    assert lines[4] == "| w | r | not installed |  |  |  |"
    assert lines[6] == "P, 1 thread(s) of 2 cores, torch 2; measured with `c`."


def test_the_page_shows_the_committed_figures_and_the_goals():
    text = PAGE.read_text()
    for block in BLOCKS:
        assert text.count(f"<!-- {block} -->") == text.count(f"<!-- /{block} -->") == 1
    assert with_tables(text) == text


def test_every_goal_is_of_a_row():
    groups = [group for path in RESULTS.glob("*.json") for group in read(path)[1].values()]
    assert CPU.keys() <= {(row.workload, row.peer) for group in groups for row in group}
