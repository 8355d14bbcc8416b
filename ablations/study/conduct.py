"""A study from its plan to its verdicts."""

import shlex
from pathlib import Path

from ablations.study.confirm import Standing, confirm
from ablations.study.cost import cost_of
from ablations.study.design import Study
from ablations.study.results import Tunings, to_result
from ablations.study.runner import Runner
from ablations.study.tables import show_plan, show_remarks, show_standings
from ablations.study.tuning import choice_of, tune, tuning_jobs
from ablations.study.verdicts import VERDICTS, save


def conduct(study: Study, runner: Runner, *, plan_only: bool) -> int:
    """Show the plan; then tune, train and look until every claim is decided.

    ``verdicts.json`` holds the rules before the first run begins, and the verdicts after each look.

    Returns:
        The exit code: 1 when a run failed.
    """
    tunings = _tune(study, runner)
    choices = {name: choice_of(found) for name, found in tunings.items()}
    show_plan(runner.console, study, cost_of(study, choices, runner))
    if plan_only:
        return 0
    names = {case.name for case in study.cases} | {claim.name for claim, _ in study.excluded}
    save(study.output, to_result(study))
    runner.train(tuning_jobs(study.cases))
    tunings = _tune(study, runner)

    def after_look(standings: list[Standing]) -> None:
        saved = save(study.output, to_result(study, standings, tunings))
        if any(one.goes_on for one in standings):
            show_standings(runner.console, saved, names)

    choices = {name: choice_of(found) for name, found in tunings.items()}
    standings = confirm(study, choices, runner, after_look)
    saved = save(study.output, to_result(study, standings, tunings))
    show_standings(runner.console, saved, names)
    show_remarks(runner.console, saved, names)
    runner.console.print(f"[bold]verdicts[/]  {study.output / VERDICTS}", soft_wrap=True)
    given = "" if study.output == Path("runs") else f" --output {shlex.quote(str(study.output))}"
    runner.console.print(
        f"[bold]next[/]  python ablations/report.py{given}", soft_wrap=True, highlight=False
    )
    return 1 if runner.failed else 0


def _tune(study: Study, runner: Runner) -> Tunings:
    return {case.name: tune(case, study.experiment, runner) for case in study.cases}
