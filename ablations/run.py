"""``python ablations/run.py``: one training run, or with ``-m`` a sweep and its table."""

import sys
from pathlib import Path

if __package__ in {None, ""}:
    # Started as a file: the folder above holds the package, and this one must not shadow others.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.markup import escape

from ablations.composition import main as hydra_main
from ablations.config import Config, Run
from ablations.launch.display import Monitor, show_nodes, show_plan, show_waiting
from ablations.launch.layer_table import show_layers
from ablations.launch.leader import Leader
from ablations.launch.mirror import settle_wandb
from ablations.launch.nodes import find_place
from ablations.launch.plan import make_plan
from ablations.launch.start import follow, lead, start
from ablations.launch.summary import show_summary


def execute(configs: list[tuple[Config, Run]]) -> int:
    """Plan, train what is not done yet, and show a table; or show the layers of the networks.

    Args:
        configs: Each configuration with the run of its unchanged experiment.

    Returns:
        The exit code: 1 when a run failed.

    Raises:
        ConfigError: A configuration cannot work, here or on the other nodes.
    """
    console = Console()
    if configs[0][0].print_model:
        for config, _ in configs:
            show_layers(console, config)
        return 0
    place = find_place(config.trainer for config, _ in configs)
    output = Path(configs[0][0].output)
    if place is not None and place.rank > 0:
        return follow(place, output)
    with lead(place, output, lambda line: show_nodes(console, line)) as team:
        return _train(configs, console, team)


def _train(configs: list[tuple[Config, Run]], console: Console, team: Leader | None) -> int:
    plan = make_plan(configs, report=lambda line: console.print(f"[bold]data[/]  {line}"))
    show_plan(console, plan)
    records = dict(plan.records)
    failed = 0
    if plan.left:
        if said := settle_wandb(plan.left):
            console.print(f"[bold]wandb[/] {escape(said)}", highlight=False)
        with Monitor(console) as monitor:
            states = start(plan.output, plan.left, monitor.update, team=team)
        records |= {s.record.run_id: s.record for s in states if s.record is not None}
        failed = sum(state.status == "failed" for state in states)
        show_waiting(console, states)
    show_summary(console, plan.jobs, records)
    if len(records) == 1:
        # A later run may start from this one, and has to name it.
        console.print(f"[bold]record[/] {plan.output / next(iter(records))}", soft_wrap=True)
    if failed:
        console.print(
            f"[bold red]{failed} of {len(plan.left)} runs failed[/]; the same command repeats them"
        )
    elif configs[0][0].fast_dev_run:
        console.print("fast_dev_run: one batch of each split went through; nothing is recorded")
    return 1 if failed else 0


def main() -> None:
    """Entry of the command."""
    hydra_main(execute)


if __name__ == "__main__":
    main()
