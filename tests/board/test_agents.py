"""The sweeps of W&B's agents are those of the claims, and what an agent starts is ours."""

import os
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args, load_sweep_config

from ablations.board.agents import agent_sweep, write_agent_sweep
from ablations.claim_file import find
from ablations.composition import compose, experiment_names, shipped
from ablations.record import load_all

SWEEPS = shipped("sweeps")
CLAIMS = {claim.name: claim for claim in find(["all"], SWEEPS, experiment_names())}
# A claim is one file: its sweep is written when somebody wants it.
WRITTEN = sorted(path.stem for path in (SWEEPS / "wandb").glob("*.yaml"))


@pytest.mark.parametrize("name", WRITTEN)
def test_the_committed_sweep_is_that_of_the_claim(name, tmp_path):
    written = write_agent_sweep(CLAIMS[name], tmp_path)
    assert (SWEEPS / "wandb" / written.name).read_text() == written.read_text(), (
        "python ablations/dashboard.py --agents writes them anew"
    )


def test_no_sweep_is_without_its_claim():
    assert WRITTEN
    assert set(WRITTEN) <= CLAIMS.keys()


# The client leaves the file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WRITTEN)
def test_the_client_reads_it_and_every_point_of_its_grid_composes(name):
    sweep = load_sweep_config(str(SWEEPS / "wandb" / f"{name}.yaml"))
    assert sweep == agent_sweep(CLAIMS[name])
    for side in range(2):
        point = {
            key: {"value": given["value"] if "value" in given else given["values"][-side]}
            for key, given in sweep["parameters"].items()
        }
        words = create_sweep_command_args({"args": point})["args_no_hyphens"]
        at = sweep["command"].index("${args_no_hyphens}")
        config = compose([*sweep["command"][3:at], *words])
        assert config.experiment == "cifar10_small"
        assert config.seed == point["seed"]["value"]


def test_words_stay_words_and_rates_of_both_arms_are_swept():
    grid = agent_sweep(CLAIMS["dropout_doubles_iterations"])["parameters"]
    assert grid["dropout"] == {"values": ["on", "off"]}
    assert "'on'" in yaml.safe_dump(grid["dropout"])
    assert grid["recipe.lr"] == {"values": [0.001, 0.003, 0.01, 0.03]}


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
    again = start(*tiny, *point, **wandb_server.environment, **agent).finish()
    assert again.code == 0
    assert "1 finished before" in again.out
    assert os.listdir("runs").count(record.run_id) == 1
    assert run.starts == 1
