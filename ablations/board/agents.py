"""Writes sweeps for W&B's own agents from the claims: a grid over arms, with the seeds as an axis.

What an agent starts is ``run.py`` like any other command: it finds and leaves the same records, and
its W&B run has the same id. Choices and verdicts stay with ``reproduce.py``, which afterwards finds the
runs done. An agent cannot choose: it trains every rate of a tuned claim on every seed, and all
seeds of the last look, where ``reproduce.py`` stops early.
"""

from pathlib import Path
from typing import Any

import yaml

from ablations.claim import Claim
from ablations.files import write_atomically
from ablations.study.design import TUNING_SEEDS

SETTING = "cifar10_small"


def agent_sweep(claim: Claim) -> dict[str, Any]:
    """The sweep of one claim as W&B's mapping.

    Args:
        claim: The claim. Keys that it tunes are swept over all rates of either arm, also on the
            seeds of the tuning.
    """
    arms = [claim.with_, *claim.comparisons.values()]
    grid: dict[str, dict[str, Any]] = {"experiment": {"value": SETTING}}
    # A reference changes what is common to the arms: each of them is trained in both ways.
    changed = {item.partition("=")[0] for item in claim.reference}
    common = [item for item in claim.common if item.partition("=")[0] not in changed]
    either = [item for item in claim.common if item not in common]
    for item in (*either, *claim.reference, *(item for arm in arms for item in arm)):
        key, _, value = item.partition("=")
        values = grid.setdefault(key, {"values": []})["values"]
        if (plain := _typed(value)) not in values:
            values.append(plain)
    for key, rates in claim.tune.items():
        grid[key] = {"values": sorted({*rates.with_, *rates.without})}
    seeds = claim.decision.looks[-1] * (claim.ensemble or 1)
    grid["seed"] = {"values": [*range(seeds), *(TUNING_SEEDS if claim.tune else ())]}
    return {
        "name": claim.name,
        "description": claim.statement,
        "program": "ablations/run.py",
        "command": [
            "${env}",
            "python",
            "${program}",
            *common,
            "${args_no_hyphens}",
        ],
        "method": "grid",
        "metric": {"name": "test/top1_error", "goal": "minimize"},
        "parameters": grid,
    }


def write_agent_sweep(claim: Claim, folder: Path) -> Path:
    """Write the sweep of ``claim`` into ``folder``, and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{claim.name}.yaml"
    head = (
        f"# Written from sweeps/{claim.name}.yaml by `python ablations/dashboard.py --agents`.\n"
        f"# Begin it with `wandb sweep sweeps/wandb/{claim.name}.yaml`.\n"
    )
    text = yaml.safe_dump(agent_sweep(claim), sort_keys=False, width=100, allow_unicode=True)
    write_atomically(path, head + text)
    return path


def _typed(value: str) -> str | int | float:
    """Numbers as numbers; ``on`` and ``off`` stay words."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
