"""The table at the end of a command: test errors of each arm over its seeds."""

from statistics import mean, stdev

from rich.console import Console
from rich.table import Table

from ablations.config import Job
from ablations.launch.display import duration
from ablations.record import Record


def show_summary(console: Console, jobs: list[Job], records: dict[str, Record]) -> None:
    """Print a row for each arm: n, top-1 and top-5 test error, epochs and time.

    Args:
        console: Where to print.
        jobs: All jobs of the command, finished before or now.
        records: Records of those that are done, by run id.
    """
    # Runs whose test images differ have nothing to compare: a table for each data set.
    by_data: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        if job.run.run_id in records:
            view = job.run.techniques.evaluation.value
            key = (job.setting, job.run.dataset.name, view)
            by_data.setdefault(key, []).append(job)
    for (setting, dataset, view), group in by_data.items():
        views = "mean of ten views" if view == "ten_view" else "centre view"
        seeds = max(len(rows) for rows in _arms(group).values())
        spread = "mean ± sd over seeds" if seeds > 1 else "one seed"
        table = Table(
            title=f"Test error on {dataset} ({setting}), {views}, {spread}",
            title_style="bold",
            title_justify="left",
        )
        table.add_column("arm", overflow="fold")
        for name in ("n", "top-1 %", "top-5 %", "epochs", "images/s", "time per run"):
            table.add_column(name, justify="right")
        for arm, members in _arms(group).items():
            table.add_row(arm, *_cells([records[job.run.run_id] for job in members], view))
        console.print(table)


def _arms(jobs: list[Job]) -> dict[str, list[Job]]:
    arms: dict[str, list[Job]] = {}
    for job in jobs:
        arms.setdefault(job.label, []).append(job)
    return arms


def _cells(records: list[Record], view: str) -> tuple[str, ...]:
    diverged = sum(record.status == "diverged" for record in records)
    count = f"{len(records)}" + f" ({diverged} diverged)" * bool(diverged)
    epochs = sorted({record.epochs for record in records})
    return (
        count,
        _mean_sd([100 * record.headline(view, 1) for record in records]),
        _mean_sd([100 * record.headline(view, 5) for record in records]),
        "-".join(str(epoch) for epoch in dict.fromkeys((epochs[0], epochs[-1]))),
        f"{mean(record.images_per_second for record in records):,.0f}",
        duration(mean(record.seconds for record in records)),
    )


def _mean_sd(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"
