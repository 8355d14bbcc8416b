"""Sweep files for W&B agents: for each claim of a study, grids over arms, tuned values and seeds.

An agent starts ``run.py``, which skips runs that have a record and gives the W&B run the record's
id. ``reproduce.py`` then finds these runs finished, trains those of the gates, and judges. A grid
is a product: an agent trains every tuned value of every arm on every seed, up to the last look.
Tuning has a separate sweep, because it holds out images on which the study may train.
"""

from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from ablations.claims.files import read_study
from ablations.claims.measures import SIDES
from ablations.claims.runs import Runs, arms_of
from ablations.claims.schema import TIMES, Claim
from ablations.files import write_atomically
from ablations.words import capital


def agent_sweep(runs: Runs, claim: Claim, job_type: str) -> dict[str, Any]:
    """Return the W&B sweep configuration of one claim of a study.

    Args:
        runs: Composes the arms of the study.
        claim: The claim.
        job_type: ``tuning`` for the tuning runs, ``verdict`` for the pairs.
    """
    study = runs.study
    arms = [arm for part in claim.comparisons for arm in arms_of(claim, part)]
    configs = [runs.config(arm) for arm in dict.fromkeys(arms)]
    keys = dict.fromkeys(item.partition("=")[0] for arm in arms for item in arm)
    grid: dict[str, list[Any]] = {
        key: list(dict.fromkeys(_value(config.run.flat[key]) for config in configs)) for key in keys
    }
    last = study.looks_of(claim)[-1] * (claim.ensemble or 1)
    grid["seed"] = [*range(study.first_seed, study.first_seed + last)]
    fixed = [*study.changes, f"logger.job_type={job_type}"]
    if study.tuning:
        values = {value for side in SIDES for value in study.grid_of(claim, side)}
        grid[study.tuning.key] = sorted(values)
    if study.tuning and job_type == "tuning":
        grid["seed"] = [*study.tuning.seeds]
        fixed += () if claim.measure.of in TIMES else runs.with_validation
    return {
        "name": f"{study.name}: {claim.name}, {job_type}",
        "description": claim.statement,
        "program": "ablations/run.py",
        "command": ["${env}", "python", "${program}", *fixed, "${args_no_hyphens}"],
        "method": "grid",
        "metric": {"name": "test/top1_error", "goal": "minimize"},
        "parameters": {
            "experiment": {"value": study.experiment},
            **{key: {"values": values} for key, values in grid.items()},
        },
    }


def write_sweeps(study_file: Path, folder: Path) -> list[Path]:
    """Write the sweeps of a study's claims into a folder.

    Args:
        study_file: File of the study.
        folder: Created if it does not exist.

    Returns:
        The files.
    """
    study, claims = read_study(study_file)
    runs = Runs(study, [], Console(quiet=True))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for claim in claims:
        if runs.exclusion(claim):
            continue
        for job_type in ("tuning", "verdict") if study.tuning else ("verdict",):
            path = folder / f"{study.name}-{claim.name}-{job_type}.yaml"
            head = (
                f"# {capital(study.title)}: {claim.name}.\n"
                "# Written by `python ablations/dashboard.py --agents`.\n"
                f"# Start it with `wandb sweep {path.name}`; agents run in the clone.\n"
            )
            if study.fingerprint:
                head += (
                    "# The study needs data that are not built in: add the keys that the head of "
                    f"{study_file.name}\n# gives for them to `command`, before "
                    "${args_no_hyphens}.\n"
                )
            sweep = agent_sweep(runs, claim, job_type)
            text = yaml.safe_dump(sweep, sort_keys=False, width=100, allow_unicode=True)
            write_atomically(path, head + text)
            written.append(path)
    return written


def _value(value: Any) -> str | int | float:
    """Return a value for the command line."""
    if value is None:
        return "null"
    return value if isinstance(value, int | float) else str(value)
