"""W&B's agents start runs of ours, as the example of a sweep file says."""

import re
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from ablations.composition import compose
from ablations.record import load_all

PAGE = Path(__file__).resolve().parents[2] / "docs" / "wandb.md"


def test_a_point_of_the_example_composes() -> None:
    (text,) = re.findall(r"```yaml\n(program: .*?)```", PAGE.read_text(), re.DOTALL)
    sweep = yaml.safe_load(text)
    point = {key: {"value": given["values"][-1]} for key, given in sweep["parameters"].items()}
    words = create_sweep_command_args({"args": point})["args_no_hyphens"]
    config = compose([*sweep["command"][3:-1], *words])
    assert sweep["command"][-1] == "${args_no_hyphens}"
    assert sweep["project"] == config.logger.project
    assert (config.experiment, config.seed) == ("cifar10_small", 2)


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
