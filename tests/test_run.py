"""The command ``run.py``, first without training: what it plans, starts and prints."""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import ablations
from ablations import __main__ as console_script
from ablations import run as command
from ablations.claims.files import claim_files, study_files
from ablations.launch import task
from ablations.launch.pool import RunState, run_folder
from ablations.record import Record, load


@dataclass
class Cluster:
    """Stands for the devices: a run is finished at once, or failed if ``fails`` has its seed."""

    record: Record
    fails: tuple[int, ...] = ()
    tail: str = "ValueError: x"
    begun: list[int] = field(default_factory=list)

    def start(self, output: Path, jobs: list, console: Any, watch: Any, **rest: Any) -> list:
        states = []
        for job in jobs:
            run = job.run
            self.begun.append(run.seed)
            state = RunState(job, run_folder(output, job))
            state.folder.mkdir(parents=True, exist_ok=True)
            state.status = "failed" if run.seed in self.fails else "finished"
            state.tail = self.tail * (state.status == "failed")
            if state.status == "finished" and not job.fast_dev_run:
                identity = {"run_id": run.run_id, "differences": run.differences}
                state.record = replace(self.record, seed=run.seed, **identity)
                state.record.save(state.folder)
            states.append(state)
        watch(states)
        return states


@pytest.fixture
def cluster(monkeypatch, record: Record) -> Cluster:
    cluster = Cluster(record)
    monkeypatch.setattr(task, "start", cluster.start)
    return cluster


@pytest.fixture
def run(monkeypatch, cache: Path, tiny, capsys) -> Callable[..., tuple[object, str]]:
    """Runs the command in this process; returns its exit code and output."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["run.py", *words, *tiny])
        try:
            command.main()
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return run


def test_plan_runs_and_table(run, cluster: Cluster):
    code, text = run("-m", "seed=0,1")
    assert code == 0
    parts = ("plan  2 runs", "finished .* seed=0", "finished .* seed=1", "Test error")
    assert re.search(".*".join(parts), text, re.DOTALL)


def test_a_sweep_lists_the_run_ids_of_each_arm_by_seed(run, cluster: Cluster):
    _, text = run("-m", "seed=1,0", "pooling=overlap,nonoverlap")
    records = [load(path.parent) for path in Path("runs").glob("*/record.json")]
    ids = {(r.differences.get("pooling"), r.seed): r.run_id for r in records if r is not None}
    assert f"records  {Path('runs').resolve()}; run ids" in text
    for pooling in {pooling for pooling, _ in ids}:
        assert f"{ids[pooling, 0]} {ids[pooling, 1]}" in text


def test_the_same_command_again_trains_nothing_and_one_more_seed_one_run(run, cluster: Cluster):
    _, first = run("-m", "seed=0,1")
    code, second = run("-m", "seed=0,1")
    assert (code, cluster.begun) == (0, [0, 1])
    assert "2 runs, 2 finished before" in second
    assert first.partition("Test error")[2] == second.partition("Test error")[2]
    run("-m", "seed=0,1,2")
    assert cluster.begun == [0, 1, 2]


def test_a_failure_is_counted_and_repeated(run, cluster: Cluster):
    cluster.fails = (0,)
    code, _ = run("-m", "seed=0,1")
    assert code.startswith("error: 1 of 2 runs failed; next step: ")
    cluster.fails, cluster.begun = (), []
    assert run("-m", "seed=0,1")[0] == 0
    assert cluster.begun == [0]


def test_a_mistake_in_the_last_job_is_found_before_the_first_begins(run, cluster: Cluster):
    code, text = run("-m", "seed=2,3,-1")
    assert str(code).startswith("error: seed=-1")
    assert (cluster.begun, text) == ([], "")


def test_a_fast_dev_run_leaves_the_records_alone(run, cluster: Cluster):
    code, text = run("fast_dev_run=true")
    assert code == 0
    assert "Test error" not in text
    assert [path.name for path in Path("runs").iterdir()] == [".hydra"]


def test_a_failed_fast_dev_run_keeps_its_log(run, cluster: Cluster):
    cluster.fails = (1,)
    run("-m", "fast_dev_run=true", "seed=0,1")
    assert len(list(Path("runs/.fast_dev_run").iterdir())) == 1


def test_the_layers_are_shown_instead_of_a_training(run, cluster: Cluster):
    code, text = run("-m", "print_model=true", "pooling=overlap,nonoverlap")
    assert (code, cluster.begun) == (0, [])
    assert text.count("conv1") == 2


def test_a_plan_shows_what_is_finished_and_left_and_trains_nothing(run, cluster: Cluster):
    run("seed=0")
    code, text = run("-m", "plan=true", "seed=0,1")
    assert (code, cluster.begun) == (0, [0])
    assert "2 runs, 1 finished before, 1 to train" in text
    assert "Test error" in text
    assert len(list(Path("runs").glob("*/record.json"))) == 1


# The console script


def test_the_console_script_lists_its_commands(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablations"])
    console_script.main()
    text = capsys.readouterr().out
    assert all(f"ablations {name}" in text for name in console_script.COMMANDS)


def test_the_console_script_has_the_version_of_the_package(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablations", "--version"])
    console_script.main()
    assert capsys.readouterr().out == f"ablations {ablations.__version__}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ablations ", list(console_script.COMMANDS)),
        ("ablations run pooling=", ["pooling=overlap", "pooling=nonoverlap"]),
        ("ablations prepare experiment=keras_r", ["experiment=keras_resized"]),
        ("ablations predict ", ["0123456789ab"]),
        ("ablations reproduce ", [*study_files(), *claim_files()]),
        ("ablations report ", []),
    ],
)
def test_the_console_script_completes(line: str, words: list[str], monkeypatch, capsys):
    Path("runs/0123456789ab").mkdir(parents=True)
    Path("runs/0123456789ab/record.json").touch()
    Path("runs/not_finished").mkdir()
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setattr(sys, "argv", ["ablations", "-sc", "query=bash"])
    console_script.main()
    assert capsys.readouterr().out.split() == words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "there is no command `trian`"),
        (["run", "pooling=overlaps"], "pooling=overlaps: not valid"),
    ],
)
def test_the_console_script_hands_on_its_arguments(arguments, message, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ablations", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit, match=f"error: {message}"):
        console_script.main()


@pytest.mark.parametrize("name", console_script.COMMANDS)
def test_the_help_begins_with_the_command(name: str, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablations", name, "--help"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with suppress(SystemExit):
        console_script.main()
    assert capsys.readouterr().out.startswith(f"usage: ablations {name} [")


# As a process
