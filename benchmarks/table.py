"""Saved results, and their table in Markdown."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablations.files import write_atomically
from benchmarks.measure import Row

Goals = Mapping[tuple[str, str], float]  # by workload and peer
Execution = tuple[dict[str, Any], dict[str, list[Row]]]  # machine, and rows by workload


def save(path: Path, machine: dict[str, Any], rows: dict[str, list[Row]]) -> None:
    """Write the results to a file, one line per workload."""
    groups = (
        f"{json.dumps(name)}: {json.dumps([asdict(row) for row in group])}"
        for name, group in rows.items()
    )
    text = ",\n".join(groups)
    write_atomically(path, f'{{"machine": {json.dumps(machine)},\n"workloads": {{\n{text}\n}}}}\n')


def read(path: Path) -> Execution:
    """Read the file of :func:`save`; return empty dictionaries if it does not exist."""
    if not path.exists():
        return {}, {}
    saved = json.loads(path.read_text())
    rows = {name: [Row(**row) for row in group] for name, group in saved["workloads"].items()}
    return saved["machine"], rows


def markdown(first: Execution, second: Execution, goals: Goals) -> str:
    """Return both executions as a Markdown table.

    Args:
        first: Results, shown with their quartiles.
        second: Results of a second execution, shown as medians to make noise visible.
        goals: See :mod:`benchmarks.goals`.
    """
    machine, groups = first
    lines = [
        "| workload | compared with | ratio [quartiles] | second execution | goal | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    again = {(row.workload, row.peer): row for group in second[1].values() for row in group}
    for row in (row for group in groups.values() for row in group):
        key = row.workload, row.peer
        other, limit = again.get(key), goals.get(key)
        goal = "" if limit is None else f"{'≤' if row.less else '≥'} {limit:g}"
        met = {None: "", True: "yes", False: "**no**"}[row.met(limit)]
        if other and other.met(limit) is not None and other.met(limit) is not row.met(limit):
            met = "one of two"
        median = f"{statistics.median(other.ratio):.3g}" if other and other.ratio else ""
        lines.append(f"| {' | '.join([*key, _ratio(row), median, goal, met])} |")
    threads = f"{machine['threads']} thread(s) of {machine['cores']} cores"
    where = f"{machine.get('gpu', machine['processor'])}, {threads}"
    lines += ["", f"{where}, torch {machine['torch']}; measured with `{machine['command']}`."]
    return "\n".join(lines)


def _ratio(row: Row) -> str:
    """Return the median ratio with its quartiles, or the note of a row without values."""
    if not row.ratio:
        return row.note
    text = f"{statistics.median(row.ratio):.3g}"
    if len(row.ratio) > 1:
        low, _, high = statistics.quantiles(row.ratio, n=4, method="inclusive")
        text += f" [{low:.3g}, {high:.3g}]"
    return f"{text} × {'the cost' if row.less else 'as fast'}"


def into(text: str, block: str, name: str) -> str:
    """Return the text of a page with ``block`` between the two marks of ``name``."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    return f"{before}{start}\n{block}\n{end}{rest.partition(end)[2]}"
