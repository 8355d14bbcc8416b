"""Sweep files of W&B's agents follow the studies, and what an agent starts is ours."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args, load_sweep_config

from ablations.claims.files import read_study, study_files
from ablations.claims.runs import Runs
from ablations.claims.study import StudyRun
from ablations.composition import compose
from ablations.record import load_all
from ablations.tracking.agents import write_sweeps

JOB_TYPES = ("logger.job_type=tuning", "logger.job_type=verdict")
STUDY = """\
title: A study
experiment: smoke
changes: [recipe.epochs=4]
claims:
  dropout_doubles_iterations: {target: 0.5, grid: {with: [0.02, 0.04], without: [0.01, 0.02]}}
  larger_and_longer_is_better: {}
  ten_views_lower_error: {looks: [2]}
tuning: {values: [0.01, 0.02], seeds: [1000]}
"""


@pytest.fixture
def sweeps(tmp_path):
    """The sweeps of ``STUDY`` by claim and kind of run."""
    (tmp_path / "a_study.yaml").write_text(STUDY)
    written = write_sweeps(tmp_path / "a_study.yaml", tmp_path / "agents")
    return {path.stem.partition("-")[2]: yaml.safe_load(path.read_text()) for path in written}


def test_there_are_grids_over_arms_rates_and_seeds_for_each_claim(sweeps):
    assert len(sweeps) == 6
    for job_type, seeds in (("tuning", [1000]), ("verdict", [*range(100, 108)])):
        sweep = sweeps[f"dropout_doubles_iterations-{job_type}"]
        assert {"recipe.epochs=4", f"logger.job_type={job_type}"} <= {*sweep["command"]}
        grid = sweep["parameters"]
        assert grid["experiment"] == {"value": "smoke"}
        assert sorted(grid["dropout"]["values"]) == ["off", "on"]
        assert grid["recipe.lr"] == {"values": [0.01, 0.02, 0.04]}
        assert grid["seed"] == {"values": seeds}
    assert sweeps["ten_views_lower_error-verdict"]["parameters"]["seed"] == {"values": [100, 101]}


def points(path: Path) -> Iterator[list[str]]:
    """Yield what an agent gives ``run.py``, for every point of a grid."""
    sweep = load_sweep_config(str(path))
    grid = {
        key: [given["value"]] if "value" in given else given["values"]
        for key, given in sweep["parameters"].items()
    }
    at = sweep["command"].index("${args_no_hyphens}")
    for values in product(*grid.values()):
        point = {key: {"value": value} for key, value in zip(grid, values, strict=True)}
        words = create_sweep_command_args({"args": point})["args_no_hyphens"]
        yield [*sweep["command"][3:at], *words]


# The client leaves the file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("imagenet", "main") else ())
        for name in study_files()
    ],
)
def test_the_client_reads_it_and_its_grid_composes(name, tmp_path):
    written = write_sweeps(study_files()[name], tmp_path)
    assert written
    for path in written:
        first, *_, last = points(path)
        for words in (first, last):
            assert f"seed={compose(words).seed}" in words


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["pair", "relu"])  # they train on all images
def test_reproduce_finds_the_runs_of_agents(name, tmp_path):
    study, claims = read_study(study_files()[name])
    runs = Runs(study, [], Console(quiet=True), plan_only=True)
    plan = StudyRun(runs, claims, claims, tmp_path)
    paths = write_sweeps(study_files()[name], tmp_path)
    seeds: dict[tuple[str, ...], set[int]] = {}  # by the rest of a point, which is composed once
    for path in paths:
        for words in points(path):
            (seed,) = (word for word in words if word.startswith("seed="))
            rest = tuple(word for word in words if word not in (seed, *JOB_TYPES))
            seeds.setdefault(rest, set()).add(int(seed.removeprefix("seed=")))
    found = {
        replace(run, seed=seed).run_id
        for rest, chosen in seeds.items()
        for run in [compose(rest).run.on_data(runs.fingerprint, "")]
        for seed in chosen
    }
    for one in plan.active:
        tuning = {job.run.run_id for choice in one.choose() for job in choice.jobs}
        pairs = {job.run.run_id for pair in range(one.looks[-1]) for job in one.pair_jobs(pair)}
        assert tuning
        assert tuning | pairs <= found


@pytest.mark.slow
def test_what_an_agent_starts_has_our_record_and_our_run(wandb_server, start, tiny):
    # As the agent does: its own id for the run, the sweep, and the point in the arguments.
    agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "agents0wn", "WANDB_AGENT_ID": "a"}
    point = ("pooling=nonoverlap", "seed=1", "logger=wandb")
    command = start(*tiny, *point, **wandb_server.environment, **agent).finish()
    assert command.code == 0, command.err
    [record] = load_all(Path("runs"))
    [run] = wandb_server.runs.values()
    assert (run.id, run.sweep) == (record.run_id, "sweep1")
    assert run.exit_code == 0
