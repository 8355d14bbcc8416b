import json
import os
import signal
import types
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from pytorch_lightning.loggers import WandbLogger
from wandb_server import serve

from ablations import train as train_module
from ablations.callbacks import Progress
from ablations.config import Job, Logger, LoggerKind
from ablations.loggers import build_logger, digest, log_record
from ablations.record import load
from ablations.techniques import Pooling
from ablations.wandb_logger import ResumableWandbLogger


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield
    wandb.teardown()


def wandb_runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"))


def stop_in_epoch_2(monkeypatch) -> None:
    def stopping(self, trainer, *arguments):
        if trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = type("Stopping", (Progress,), {"on_train_batch_end": stopping})
    monkeypatch.setattr(train_module, "Progress", stopped)


def test_wandb_offline_makes_one_run_folder(tiny_job, train_here, offline):
    job = tiny_job(logger=Logger(LoggerKind.wandb))
    folder = train_here(job)
    (run,) = wandb_runs(folder)
    assert run.name.endswith(job.run.run_id)
    record = load(folder)
    assert record is not None


def test_wandb_gets_names_config_and_summary(tiny_job, monkeypatch, tmp_path, record):
    calls: dict[str, dict] = {}

    class Experiment:
        summary: dict = {}  # noqa: RUF012

        def define_metric(self, name, **options):
            calls.setdefault("define", {})[name] = options

    def init(**options):
        calls["init"] = options
        return Experiment()

    monkeypatch.setattr(wandb, "init", init)
    job = tiny_job(logger=Logger(LoggerKind.wandb, "project", "team"), pooling=Pooling.nonoverlap)
    job = replace(job, claims=("one", "two"))
    assert isinstance(build_logger(job, tmp_path), ResumableWandbLogger)
    options = calls["init"]
    run_id = job.run.run_id
    assert (options["id"], options["dir"]) == (run_id, tmp_path)
    assert (options["project"], options["entity"]) == ("project", "team")
    assert options["name"] == "pooling=nonoverlap seed=0"
    assert "pooling=nonoverlap" in options["group"]
    assert options["tags"] == ["experiment:smoke", "dataset:synthetic", "claim:one", "claim:two"]
    config = options["config"]
    flat = {"arm": "pooling=nonoverlap", "seed": 0, "experiment": "smoke", "run_id": run_id}
    assert {key: config[key] for key in flat} == flat
    assert config["techniques"]["pooling"] == "nonoverlap"
    defined = calls["define"]
    assert defined["val/top1_error"] == {"step_metric": "epoch", "summary": "min"}
    assert {"epoch", "samples", "seconds"} <= defined.keys()


def test_the_summary_has_the_final_errors(tiny_job, tmp_path, record, monkeypatch):
    experiment = types.SimpleNamespace(summary={}, define_metric=lambda *args, **options: None)
    monkeypatch.setattr(wandb, "init", lambda **options: experiment)
    log_record(ResumableWandbLogger(tiny_job(), tmp_path), record)
    summary = experiment.summary
    assert summary["test/top1_error"] == record.test["ten_view"].top1
    assert summary["test_center/top1_error"] == record.test["center"].top1
    assert summary["status_diverged"] == 0.0
    assert summary["record"] == digest(record)


@pytest.mark.parametrize(
    ("variable", "login", "mode"), [("x", True, None), (None, False, "offline"), (None, True, None)]
)
def test_wandb_is_offline_unless_logged_in_or_told(
    variable, login, mode, tiny_job, monkeypatch, tmp_path
):
    if variable is None:
        monkeypatch.delenv("WANDB_MODE")
    modes = []
    experiment = types.SimpleNamespace(summary={}, define_metric=lambda *args, **options: None)
    monkeypatch.setattr(wandb, "login", lambda **options: login)
    monkeypatch.setattr(
        wandb, "init", lambda **o: modes.append((o["mode"], o["resume"])) or experiment
    )
    build_logger(tiny_job(logger=Logger(LoggerKind.wandb)), tmp_path)
    assert modes[0][0] == mode


def test_each_epoch_is_sent_once_and_lost_ones_are_sent_again(
    tiny_job, train_here, monkeypatch, wandb_server
):
    job = tiny_job(logger=Logger(LoggerKind.wandb))
    with monkeypatch.context() as patch:
        stop_in_epoch_2(patch)
        with pytest.raises(SystemExit):
            train_here(job)
    (run,) = wandb_server.runs.values()
    assert (run.values("epoch"), run.exit_code) == ([1], 143)
    run.history.clear()  # it never arrived
    run.summary.clear()
    train_here(job)
    assert run.values("epoch") == [1, 2]
    assert (run.starts, run.exit_code) == (2, 0)


def test_a_server_that_refuses_later_does_not_stop_the_run(
    tiny_job, train_here, monkeypatch, caplog, record
):
    with serve(refusal=401) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        folder = train_here(tiny_job(logger=Logger(LoggerKind.wandb)))
        wandb.teardown()
    assert "this run is logged offline" in caplog.text
    found = load(folder)
    assert found is not None
    assert found.test == record.test
    assert len(wandb_runs(folder)) == 1


def test_a_lost_service_costs_neither_epochs_nor_the_record(
    tiny_job, train_here, offline, monkeypatch, caplog
):
    def lose(*arguments, **options):
        raise ConnectionResetError("service is gone")

    monkeypatch.setattr(WandbLogger, "log_metrics", lose)
    monkeypatch.setattr(wandb.sdk.wandb_summary.Summary, "update", lose)
    record = load(train_here(tiny_job(logger=Logger(LoggerKind.wandb))))
    wandb.teardown()
    assert record is not None
    assert len(record.curve) == 2
    assert caplog.text.count("service is gone") == 1


# In processes


@pytest.mark.slow
def test_wandb_keeps_rows_of_a_stopped_run_and_the_next_job_has_its_own(start, tiny):
    (Path("boom") / "sitecustomize.py").parent.mkdir()
    Path("boom/sitecustomize.py").write_text(
        "import sys\n"
        "if 'forkserver' in ' '.join(sys.orig_argv):\n"
        "    from ablations.classifier import Classifier\n"
        "    step = Classifier.training_step\n"
        "    def fail(self, batch, batch_idx):\n"
        "        if self.run.seed == 0 and self.current_epoch == 1:\n"
        "            raise ArithmeticError('injected')\n"
        "        return step(self, batch, batch_idx)\n"
        "    Classifier.training_step = fail\n"
    )
    command = start(
        "-m",
        *tiny,
        "seed=0,1",
        "logger=wandb",
        "trainer.parallel=1",
        PYTHONPATH=str(Path("boom").resolve()),
        WANDB_MODE="offline",
    ).finish()
    assert command.code == 1, command.err
    assert "injected" in command.out
    folders = [path.parent for path in Path("runs").glob("*/config.yaml")]
    assert len(folders) == 2
    for folder in folders:
        job = Job.load(folder)
        (run,) = wandb_runs(folder)
        assert run.name.endswith(job.run.run_id)
        (log,) = run.glob("*.wandb")
        content = log.read_bytes()
        assert b"val/top1_error" in content
        assert (b"test/top1_error" in content) == (job.run.seed == 1)
    assert not Path("wandb").exists()


@pytest.mark.slow
def test_two_ranks_make_one_wandb_run(start, tiny):
    command = start(*tiny, "logger=wandb", "trainer.devices=2", WANDB_MODE="offline").finish()
    assert command.code == 0, command.err
    (folder,) = (path.parent for path in Path("runs").glob("*/record.json"))
    assert len(wandb_runs(folder)) == 1
    assert json.loads((folder / "record.json").read_text())["hardware"]["devices"] == 2


@pytest.mark.slow
def test_two_ranks_make_one_run_on_a_server(start, tiny, wandb_server):
    command = start(*tiny, "logger=wandb", "trainer.devices=2", **wandb_server.environment).finish()
    assert command.code == 0, command.err
    (run,) = wandb_server.runs.values()
    assert (run.starts, run.exit_code, run.values("epoch")) == (1, 0, [1, 2])


@pytest.mark.slow
def test_after_a_kill_the_same_run_goes_on_there(start, tiny, wandb_server):
    # More epochs than are trained before the first rows reach the server.
    words = (*tiny, "logger=wandb", "recipe.epochs=1500")
    command = start(*words, **wandb_server.environment)
    command.wait_until(lambda: any(run.rows for run in wandb_server.runs.values()))
    command.process.kill()
    assert command.left_over(10) == []
    (run,) = wandb_server.runs.values()
    assert run.exit_code != 0
    del run.history[max(run.history)]  # sent, and never arrived
    run.summary["epoch"] = len(run.history)
    again = start(*words, **wandb_server.environment).finish()
    assert again.code == 0, again.err
    assert list(wandb_server.runs) == [run.id]
    assert (run.starts, run.exit_code) == (2, 0)
    assert run.values("epoch") == list(range(1, 1501))  # each once, none lost


@pytest.mark.slow
def test_a_server_that_is_away_is_named_once_and_nobody_waits(start, tiny):
    away = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "x" * 40}
    words = ("-m", *tiny, "seed=0,1,2", "logger=wandb")
    command = start(*words, WANDB_MODE="online", no_proxy="127.0.0.1", **away).finish()
    assert command.code == 0, command.err
    assert command.out.count("does not answer: the runs log offline") == 1
    folders = [path.parent for path in Path("runs").glob("*/record.json")]
    assert [len(wandb_runs(folder)) for folder in folders] == [1, 1, 1]
