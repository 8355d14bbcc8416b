"""Print the table at the end of a command: test errors of each arm over its seeds."""

from collections.abc import Mapping, Sequence
from statistics import mean

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablations.config import Job
from ablations.launch.display import fit, show
from ablations.record import Record, learned
from ablations.techniques import Evaluation
from ablations.words import count, duration, mean_sd


def validation_error(record: Record | None) -> float | None:
    """Return the top-1 error on the validation images after the last epoch, center view.

    A diverged run has the chance-level error. The error is None without a record, for example of a
    queued job, and without validation images.
    """
    if record is None or not record.data.val_images:
        return None
    if record.status == "diverged":
        return record.data.chance_error()
    assert record.val is not None
    return record.val.top1


def show_summary(
    console: Console, jobs: list[Job], records: dict[str, Record], search: bool = False
) -> None:
    """Print a row per arm (n, test errors, epochs, times), then arms at chance and diverged runs.

    Args:
        console: The console to print on.
        jobs: All jobs of the command, including those that were done before.
        records: Records of the runs that are done, by run id.
        search: Whether to add a column with the validation error, which sweepers minimize.
    """
    # One table per experiment and data set: errors on different test images are not comparable.
    by_data: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if record := records.get(job.run.run_id):
            name = job.run.data.name or record.data.name
            by_data.setdefault((job.experiment, name), []).append(job)
    for (experiment, dataset), group in by_data.items():
        arms: dict[str, list[Job]] = {}
        for job in group:
            arms.setdefault(job.label, []).append(job)
        views = {job.run.techniques.evaluation for job in group}
        notes = [dataset, experiment]
        if len(views) == 1:
            notes.append("mean of ten views" if Evaluation.ten_view in views else "center view")
        several = any(len(members) > 1 for members in arms.values())
        notes.append("mean ± sd over seeds" if several else "one seed")
        console.print(Text(f"Test error: {', '.join(notes)}", "bold"))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("arm", overflow="fold")
        tops = (f"top-{k} %" for k in records[group[0].run.run_id].data.top_k)
        for name in ("n", *tops, "epochs", "training", "evaluation"):
            table.add_column(name, justify="right", no_wrap=True)
        if search:
            table.add_column("val top-1 %", justify="right", no_wrap=True)
        for arm, members in arms.items():
            cells = _cells(members, records)
            if search:
                errors = [validation_error(records[job.run.run_id]) for job in members]
                cells += (mean_sd([100 * error for error in errors if error is not None]),)
            table.add_row(Text(arm), *cells)
        console.print(fit(console, table, ["evaluation", "epochs", "training"]))
        runs = {arm: [records[job.run.run_id] for job in members] for arm, members in arms.items()}
        if text := unlearned(runs):
            show(console, "at chance", text)
    ended = {run_id for run_id, record in records.items() if record.status == "diverged"}
    if rates := [job.run.recipe.lr for job in jobs if job.run.run_id in ended]:
        show(
            console,
            "diverged",
            f"{count(len(rates), 'run')}: the loss became NaN or infinite, or exploded; the table "
            f"uses the chance-level error; next step: use recipe.lr below {min(rates):g}",
        )


def unlearned(arms: Mapping[str, Sequence[Record]]) -> str:
    """Return how many runs of which arms are at chance and what to do; empty if there are none.

    Args:
        arms: Records by the name of the arm. Arms that have :func:`learned` and arms whose runs all
            diverged are left out.
    """
    found = {
        name: (bad, len(records))
        for name, records in arms.items()
        if not learned(records) and (bad := sum(record.at_chance for record in records))
    }
    if not found:
        return ""
    parts = [f"{bad} of {count(n, 'run')} of {name}" for name, (bad, n) in found.items()]
    return f"{', '.join(parts)}; next step: more epochs, or another recipe.lr or init"


def _cells(members: list[Job], by_id: dict[str, Record]) -> tuple[str, ...]:
    records = [by_id[job.run.run_id] for job in members]
    view = members[0].run.techniques.evaluation.value
    diverged = sum(record.status == "diverged" for record in records)
    number = f"{len(records)}" + f" ({diverged} diverged)" * bool(diverged)
    epochs = sorted({record.epochs for record in records})
    return (
        number,
        *(
            mean_sd([100 * record.test_error(view, k) for record in records])
            for k in records[0].data.top_k
        ),
        "-".join(str(epoch) for epoch in dict.fromkeys((epochs[0], epochs[-1]))),
        duration(mean(record.seconds for record in records)),
        duration(mean(record.evaluation_seconds for record in records)),
    )
