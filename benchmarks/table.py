"""Tables of the saved results for the terminal and docs/speed.md."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from ablations.files import write_atomically
from benchmarks.measure import Row, spread

Goals = Mapping[tuple[str, str], float]  # by workload and peer


def save(path: Path, machine: dict[str, Any], rows: dict[str, list[Row]]) -> None:
    """Write the results to a file, one line per workload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = (
        f"{json.dumps(name)}: {json.dumps([asdict(row) for row in group])}"
        for name, group in rows.items()
    )
    text = ",\n".join(groups)
    write_atomically(path, f'{{"machine": {json.dumps(machine)},\n"workloads": {{\n{text}\n}}}}\n')


def read(path: Path) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """Read the file of :func:`save`; return empty dictionaries if it does not exist."""
    if not path.exists():
        return {}, {}
    saved = json.loads(path.read_text())
    rows = {name: [Row(**row) for row in group] for name, group in saved["workloads"].items()}
    return saved["machine"], rows


def cells(row: Row, goals: Goals) -> list[str]:
    """Return the cells of a row: workload, peer, ratio with quartiles, goal, and met."""
    least = goals.get((row.workload, row.peer))
    goal = "" if least is None else f"{'≤' if row.less else '≥'} {least:g}"
    met = {None: "", True: "yes", False: "**no**"}[row.met(least)]
    if not row.ratio:
        return [row.workload, row.peer, row.note, goal, met]
    low, middle, high = spread(row.ratio)
    ratio = f"{middle:.3g}" if len(row.ratio) == 1 else f"{middle:.3g} [{low:.3g}, {high:.3g}]"
    times = "× the cost" if row.less else "× as fast"
    return [row.workload, row.peer, f"{ratio} {times}", goal, met]


def terminal(rows: dict[str, list[Row]], goals: Goals) -> Table:
    """Return a table for the terminal, which also has milliseconds."""
    table = Table(box=None, pad_edge=False)
    titles = ("workload", "compared with", "ratio [quartiles]", "goal", "met", "ours, ms", "note")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in (row for group in rows.values() for row in group):
        ours = f"{spread(row.ours)[1]:.3g}" if row.ours else ""
        table.add_row(*(cell.replace("**", "") for cell in cells(row, goals)), ours, row.note)
    return table


Execution = tuple[dict[str, Any], dict[str, list[Row]]]  # result of `read`


def markdown(first: Execution, second: Execution, goals: Goals) -> str:
    """Return both executions as a Markdown table.

    Args:
        first: Results, shown with their quartiles.
        second: Results of a second execution, shown as medians to make noise visible.
        goals: See :mod:`benchmarks.goals`.
    """
    machine, rows = first
    lines = [
        "| workload | compared with | ratio [quartiles] | second execution | goal | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    again = {(row.workload, row.peer): row for group in second[1].values() for row in group}
    for row in (row for group in rows.values() for row in group):
        workload, peer, ratio, goal, met = cells(row, goals)
        other = again.get((row.workload, row.peer))
        median = f"{spread(other.ratio)[1]:.3g}" if other and other.ratio else ""
        least = goals.get((workload, peer))
        if other and other.met(least) is not None and other.met(least) is not row.met(least):
            met = "one of two"
        lines.append(f"| {workload} | {peer} | {ratio} | {median} | {goal} | {met} |")
    threads = f"{machine['threads']} thread(s) of {machine['cores']} cores"
    where = f"{machine.get('gpu', machine['processor'])}, {threads}"
    lines += ["", f"{where}, torch {machine['torch']}; measured with `{machine['command']}`."]
    return "\n".join(lines)


def into(text: str, block: str, name: str = "speed") -> str:
    """Return the text of a page with ``block`` between the two marks of ``name``."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    return f"{before}{start}\n{block}\n{end}{rest.partition(end)[2]}"
