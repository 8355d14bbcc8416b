"""Print the plan and the verdicts of a study."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablations.claims.results import ClaimResult, StudyResult
from ablations.claims.study import StudyRun
from ablations.claims.words import figure, measured, remarks
from ablations.launch.display import fit, show, show_slow_precision
from ablations.launch.plan import Timing
from ablations.stats.labels import Label
from ablations.words import count, spoken

_STYLES = {
    Label.holds: "green",
    Label.direction: "cyan",
    Label.no_effect: "magenta",
    Label.opposite: "red",
    Label.undecided: "yellow",
}
_EXCLUDED = "excluded"


def show_plan(console: Console, run: StudyRun, rate: float | None = None) -> None:
    """Print the looks, margin, power and time of each claim, and the number of runs.

    Args:
        console: Where to print.
        run: The study.
        rate: Training images/s of one device; None takes the rates of finished runs.
    """
    study, timing = run.result(), Timing(run.runs.output, rate)
    by_claim = {name: {job.run.run_id: job for job in jobs} for name, jobs in run.jobs().items()}
    hours = {name: timing.device_hours([*jobs.values()]) for name, jobs in by_claim.items()}
    console.print(fit(console, _plan_table(study, hours)))
    _show_excluded(console, study.results)
    show(
        console,
        "P(holds)",
        "probability of the label `holds here` if the true effect is Δ, which is the paper's "
        "effect or twice the margin; ?: the study has no planning_sd for the claim",
    )
    for result in study.results:
        if result.chance and result.chance[1] < 0.5:
            text = "not resolvable by this study: P(holds) < 0.5 at 2Δ"
            show(console, spoken(result.claim), text)
    speed = f" that trains {rate:,.0f} images/s" if rate else ""
    show(console, "hours", f"time of all runs of the claim, finished ones too, on a device{speed}")
    users = Counter(run_id for jobs in by_claim.values() for run_id in jobs)
    jobs = {run_id: job for found in by_claim.values() for run_id, job in found.items()}
    left = [job for job in jobs.values() if run.runs.record(job) is None]
    device_hours = timing.device_hours(left) if rate and left else None
    parts = [
        f"at most {count(len(jobs), 'run')} without grid extensions",
        f"{sum(n > 1 for n in users.values())} shared by several claims" * (len(by_claim) > 1),
        f"{len(jobs) - len(left)} finished" * bool(run.runs.fingerprint),
        timing.left(left) if device_hours is None else f"{device_hours:,.0f} hours of one device",
    ]
    show(console, "plan", "; ".join(filter(None, parts)))
    show(console, "runs", str(run.runs.output))
    show_slow_precision(console, left)


def _plan_table(study: StudyResult, hours: Mapping[str, float | None]) -> Table:
    """Return a row for each claim."""
    table = _table(
        f"Plan: {study.title}, {study.dataset}",
        *("claim", "looks", ">margin", ">P(holds) at Δ", ">at 2Δ", ">hours"),
    )
    for result in study.results:
        if result.excluded:
            table.add_row(spoken(result.claim), Text(_EXCLUDED, "dim"))
            continue
        chance = [f"{value:.2f}" for value in result.chance] if result.chance else ["?", "?"]
        needed = hours[result.claim]
        table.add_row(
            spoken(result.claim),
            ", ".join(map(str, result.looks)),
            figure(result, result.margin),
            *chance,
            "?" if needed is None else f"{needed:,.1f}" if needed < 10 else f"{needed:,.0f}",
        )
    return table


def show_verdicts(
    console: Console, study: StudyResult, names: Sequence[str], *, last: bool = False
) -> None:
    """Print a row for each part of each claim.

    Args:
        console: Where to print.
        study: The study.
        names: Claims that the command asked for.
        last: Also print the remarks on each label, above the table.
    """
    table = _table(
        f"{study.title}, {study.dataset}",
        *("claim", ">paper", ">ours", "interval", ">pairs", "label"),
    )
    results = [result for result in study.results if result.claim in names]
    for result in results:
        name, paper = spoken(result.claim), figure(result, result.effect)
        if result.excluded:
            table.add_row(name, "", "", "", "", Text(_EXCLUDED, "dim"))
            continue
        if len(result.verdicts) != 1:
            table.add_row(name, paper, "", "", "", _label(result))
        for verdict in result.verdicts:
            found = [*measured(result, verdict), str(verdict.n)]
            if len(result.verdicts) == 1:
                table.add_row(name, paper, *found, _label(result))
            else:
                table.add_row(f"  {verdict.part}", "", *found, verdict.label.word(result.at_paper))
    if last:
        _show_excluded(console, results)
        for result in results:
            for text in remarks(result):
                show(console, spoken(result.claim), text)
    console.print(fit(console, table))


def _show_excluded(console: Console, results: Sequence[ClaimResult]) -> None:
    for result in results:
        if result.excluded:
            show(console, spoken(result.claim), f"{_EXCLUDED}: {result.excluded}")


def _label(result: ClaimResult) -> Text:
    style = _STYLES.get(Label(result.label), "default") if result.label else "dim"
    return Text(result.word, style)


def _table(title: str, *columns: str) -> Table:
    heading = Text(title, "bold")
    table = Table(title=heading, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return table
