"""W&B runs: one per run, online or offline, also after interruptions and failures."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from pytorch_lightning.loggers import WandbLogger
from wandb_server import serve

from ablations.config import Logger, LoggerKind
from ablations.launch.start import check_wandb
from ablations.record import load
from ablations.techniques import Pooling
from ablations.training.classifier import Classifier
from ablations.training.loggers import build_logger, close_logger


@pytest.fixture
def job(tiny_job):
    return tiny_job(logger=Logger(LoggerKind.wandb))


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.teardown()


def offline_runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*"))


# Data sent to W&B


def test_a_run_has_its_name_group_config_curve_and_final_errors(tiny_job, train_here, wandb_server):
    logger = Logger(LoggerKind.wandb, "project", "team")
    job = replace(tiny_job(logger=logger, pooling=Pooling.nonoverlap), label="pooling")
    record = load(train_here(job))
    assert record is not None
    [run] = wandb_server.runs.values()
    assert (run.id, run.exit_code, run.starts) == (record.run_id, 0, 1)
    assert run.name == "pooling seed=0"  # as in tables
    assert (run.group, run.job_type) == ("smoke on synthetic: pooling=nonoverlap", "train")
    config = {name: entry["value"] for name, entry in run.config.items()}
    assert (config["arm"], config["seed"], config["run_id"]) == (job.arm, 0, run.id)
    assert config["techniques"]["pooling"] == "nonoverlap"
    assert run.values("val/top1_error") == [point.val.top1 for point in record.curve]
    assert run.values("samples") == [point.samples for point in record.curve]
    assert run.values("trainer/global_step") == [3, 6, 6]  # two epochs and the final errors
    assert run.summary["test/top1_error"] == record.test["ten_view"].top1
    curve = run.values("val/top1_error")
    assert run.summary["val/top1_error"] == {"min": min(curve), "last": curve[-1]}
    assert run.summary["status_diverged"] == 0.0


def test_names_that_the_server_would_refuse_are_cut_and_stay_different(job, tmp_path, wandb_server):
    arm = " ".join(f"recipe.milestones_{number}=0.5" for number in range(7))
    for number, tail in enumerate(("width=1", "width=2")):
        name = f"{arm} {tail}"
        long = replace(job, run=replace(job.run, seed=number), arm=name, label=name)
        close_logger(build_logger(long, tmp_path), 0)
    runs = wandb_server.runs.values()
    assert [len(run.name) for run in runs] == [len(run.group) for run in runs] == [128, 128]
    assert [run.name[-7:] for run in runs] == [" seed=0", " seed=1"]
    assert len({run.group for run in runs}) == 2


# Offline


@pytest.mark.parametrize("logged_in", [True, False])
def test_it_is_offline_unless_logged_in(logged_in, job, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb, "login", lambda **options: logged_in)

    def begin(**options):
        raise SystemExit(os.environ.get("WANDB_MODE"))

    monkeypatch.setattr(wandb, "init", begin)
    with pytest.raises(SystemExit) as begun:
        build_logger(job, tmp_path)
    assert begun.value.code == (None if logged_in else "dryrun")


def test_an_interrupted_offline_run_becomes_one_run_by_wandb_sync(
    job, train_here, interrupt, runs_dir, offline
):
    interrupt(job)
    record = load(train_here(job))
    assert record is not None
    assert len(offline_runs(runs_dir / record.run_id)) == 2
    with serve() as server:
        command = [sys.executable, "-m", "wandb", "sync", *runs_dir.glob("*/wandb/latest-run")]
        environment = os.environ | server.environment
        subprocess.run(command, env=environment, check=True, capture_output=True)
    [run] = server.runs.values()
    assert (run.id, run.exit_code) == (record.run_id, 0)
    assert run.values("epoch") == [1, 2]
    assert run.summary["test/top1_error"] == record.test["ten_view"].top1


# Interruptions and failures


@pytest.mark.parametrize("lost", [False, True])
def test_an_interrupted_run_continues_and_sends_again_what_was_lost(
    lost, job, train_here, interrupt, wandb_server
):
    interrupt(job)
    [run] = wandb_server.runs.values()
    assert (run.values("epoch"), run.exit_code) == ([1], 143)
    if lost:  # sent but not received
        run.history.clear()
        run.summary.clear()
    train_here(job)
    assert run.values("epoch") == [1, 2]
    assert (run.starts, run.exit_code) == (2, 0)


def test_a_run_that_fails_keeps_its_rows_and_is_marked(job, train_here, wandb_server, monkeypatch):
    step = Classifier.training_step

    def fail(self, *given):
        if self.current_epoch == 1:
            raise ArithmeticError("injected")
        return step(self, *given)

    monkeypatch.setattr(Classifier, "training_step", fail)
    with pytest.raises(ArithmeticError, match="injected"):
        train_here(job)
    [run] = wandb_server.runs.values()
    assert (run.values("epoch"), run.exit_code) == ([1], 1)
    assert "test/top1_error" not in run.summary


def test_a_server_that_refuses_leaves_the_run_offline(
    job, train_here, wandb_server, caplog, record
):
    wandb_server.refusal = 401
    folder = train_here(job)
    assert "this run is logged offline" in caplog.text
    found = load(folder)
    assert found is not None
    assert found.test == record.test
    assert len(offline_runs(folder)) == 1


def test_a_client_that_fails_costs_neither_epochs_nor_the_record(
    job, train_here, offline, monkeypatch, caplog
):
    def lose(*arguments, **options):
        raise ConnectionResetError("service is gone")

    monkeypatch.setattr(WandbLogger, "log_metrics", lose)
    record = load(train_here(job))
    assert record is not None
    assert len(record.curve) == 2
    assert caplog.text.count("service is gone") == 1


# Before the runs of a command


def test_a_server_that_refuses_turns_the_runs_offline(job, tmp_path, wandb_server):
    assert check_wandb(tmp_path, [replace(job, fast_dev_run=True)]) is None
    assert wandb_server.requests == []
    wandb_server.refusal = 401
    problem = check_wandb(tmp_path, [job])
    assert problem is not None
    assert wandb_server.url in problem
    assert f"wandb sync {tmp_path}/*/wandb/latest-run" in problem
    assert os.environ["WANDB_MODE"] == "offline"
    assert check_wandb(tmp_path, [job]) is None  # once
