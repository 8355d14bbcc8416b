"""What a command shows of a study: its plan, where the claims stand, and the verdicts."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablations.launch.display import duration, time_left
from ablations.study.cost import Cost
from ablations.study.design import Study
from ablations.study.verdicts import Result, StudyResult, changes, not_adjusted_with

_STYLES = {
    "reproduced": "green",
    "direction only": "cyan",
    "contradicted (opposite)": "red",
    "contradicted (negligible)": "red",
    "inconclusive": "yellow",
    "negligible": "green",
    "undecided": "green",
    "false alarm": "bold red",
}


def show_plan(console: Console, study: Study, cost: Cost) -> None:
    """Say what the study would train, claim by claim, and what sharing saves."""
    title = f"Plan: {study.experiment} on {study.baseline.data.name}"
    if study.changes != "paper":
        title += f", {study.changes}"
    # Words that leave the names of claims their room on a terminal of 80 columns.
    table = _table(title, "claim", "looks", *(">own", ">shared", ">done", ">alone"))
    for row in cost.cases:
        looks = ", ".join(str(look) for look in row.case.looks)
        if study.anytime:
            looks = f"{row.case.looks[0]} to {row.case.looks[-1]}"
        counts = (row.own, row.shared, row.finished, row.naive)
        table.add_row(escape(row.case.name), looks, *(str(count) for count in counts))
    for claim, reason in study.excluded:
        table.add_row(claim.name, f"[dim]not here: {reason}[/]")
    console.print(table)
    if not cost.naive:
        return
    may_stop = cost.first < cost.runs
    plan = f"at most {cost.runs} runs" if may_stop else f"{cost.runs} runs"
    if may_stop:
        plan += f" ({cost.first} if the first look decides every claim)"
    plan += f", {cost.finished} finished"
    if cost.runs < cost.naive:
        plan += (
            f"; {cost.naive} if each arm of each claim trained its own: {cost.saving:.0%} saved by "
            "sharing"
        )
        if may_stop:
            plan += f", up to {1 - cost.first / cost.naive:.0%} with early stops"
    console.print(f"[bold]plan[/]  {plan}")
    if cost.bytes_left is None:
        console.print("[bold]left[/]  time and disk are not known before the first run")
    elif cost.runs > cost.finished:
        console.print(
            f"[bold]left[/]  {cost.bytes_left / 1e6:,.0f} MB and {time_left(cost.time_left)}, at "
            f"most; {duration(cost.seconds_spent)} of training done"
        )
    console.print(f"[bold]runs[/]  {study.output}", soft_wrap=True)


def show_standings(console: Console, study: StudyResult, names: set[str]) -> None:
    """Print where the claims of a command stand: a row each, with their present interval."""
    table = _table(
        f"Claims at {study.experiment} on {study.dataset}",
        *("claim", ">paper", ">ours", "interval", ">pairs", "verdict"),
    )
    for result in study.results:
        if result.name in names:
            table.add_row(escape(result.name), *_figures(result), _verdict(result))
    console.print(table)


def show_remarks(console: Console, study: StudyResult, names: set[str]) -> None:
    """Print what a reader should know beside the verdicts."""
    for result in study.results:
        remarks = [*result.notes, *(result.verdict or {}).get("warnings", ())]
        remarks += [f"the rule has changed: {change}" for change in changes(result)]
        if apart := not_adjusted_with(result, study):
            remarks.append(
                f"not adjusted for {', '.join(apart)}, which other commands decided; one command "
                "with the names of all adjusts them together, from the same runs"
            )
        for remark in remarks if result.name in names else ():
            console.print(f"[bold]{escape(result.name)}[/]  {escape(remark)}", highlight=False)


def _figures(result: Result) -> tuple[str, str, str, str]:
    unit = _unit(result)
    paper = "" if result.paper["effect"] is None else _number(result.paper["effect"], result) + unit
    verdict = result.verdict
    if verdict is None or verdict["estimate"] is None:
        return paper, "", "", ""
    low, high = ((verdict["interval"] or {}).get(end) for end in ("low", "high"))
    interval = (
        f"{'-∞' if low is None else _number(low, result)} to "
        f"{'∞' if high is None else _number(high, result)}"
    )
    return paper, _number(verdict["estimate"], result) + unit, interval, str(verdict["n"])


def _verdict(result: Result) -> str:
    if result.status == "excluded":
        return f"[dim]not here: {escape(result.reason)}[/]"
    words = [result.label, *(result.verdict or {}).get("sub_labels", ())]
    text = f"[{_STYLES.get(result.label, 'default')}]{', '.join(filter(None, words))}[/]"
    if result.status in ("incomplete", "unfinished"):
        return f"{text} [bold]{result.status}: {result.reason or 'the time was up'}[/]"
    if (outlook := (result.verdict or {}).get("outlook")) is not None:
        text += f" (about {outlook['more']} more pairs)"
    return text


def _unit(result: Result) -> str:
    if result.kind in ("ratio", "time_to_target"):
        return "×"
    return " nats" if result.rule.get("measure", {}).get("metric") == "loss" else " points"


def _number(value: float, result: Result) -> str:
    match _unit(result):
        case "×":
            return f"{value:.2f}"
        case " nats":
            return f"{value:+.3f}"
        case _:
            return f"{100 * value:+.2f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_style="bold", title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return table
