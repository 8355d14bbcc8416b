from dataclasses import replace
from pathlib import Path

import pytest

from ablations.config import Config, ConfigError, Job
from ablations.launch import task as module
from ablations.launch.nodes import Nodes
from ablations.launch.task import train_all


def test_runs_on_differently_many_nodes(tiny_config: Config):
    more = replace(tiny_config, trainer=replace(tiny_config.trainer, num_nodes=2))
    with pytest.raises(ConfigError, match=r"trainer.num_nodes=1,2: all runs of a command share"):
        train_all([tiny_config, more])


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_node_1_trains_what_node_0_names(
    status, tiny_config: Config, tiny_job, runs_dir: Path, monkeypatch, capsys
):
    jobs = [tiny_job(seed=seed) for seed in (1, 0)]
    for job in jobs:
        (runs_dir / job.run.run_id).mkdir()
        job.save(runs_dir / job.run.run_id)
    nodes, begun = Nodes(2, 1, "a", "1"), []

    def start(output: Path, jobs: list[Job], *rest, nodes: Nodes) -> list[module.RunState]:
        begun.extend(job.run.seed for job in jobs)
        return [module.RunState(job, output / job.run.run_id, status) for job in jobs]

    monkeypatch.setattr(module, "nodes_of_step", lambda count: nodes)
    monkeypatch.setattr(module, "await_plan", lambda *given: [job.run.run_id for job in jobs])
    monkeypatch.setattr(module, "start", start)
    outcomes = train_all([replace(tiny_config, output=str(runs_dir), seed=n) for n in (0, 1, 2)])
    assert begun == [1, 0]
    assert len(outcomes) == 3
    failed = all(isinstance(one, module.RunsFailed) for one in outcomes)
    assert failed is (status == "failed")
    assert capsys.readouterr().out == ""  # node 0 shows everything
