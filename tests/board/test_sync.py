"""What lies on disk arrives in W&B, once, as far as it is not there yet."""

import shutil
from pathlib import Path

import pytest
import wandb
from records import make_result, save_study
from wandb_server import serve

from ablations.board.sync import Place, sync
from ablations.classifier import curve_metrics
from ablations.config import ConfigError, Logger, LoggerKind
from ablations.wandb_logger import begin_wandb

PLACE = Place("alexnet-ablations", "team")


@pytest.fixture
def send(runs_dir):
    """Sends what is in ``runs_dir``; keyword arguments are those of ``sync``."""
    return lambda **given: sync(
        runs_dir, PLACE, **{"checkpoints": False, "tell": lambda text: None} | given
    )


@pytest.fixture
def trained(finished, record, runs_dir) -> Path:
    """A folder of runs with one finished run, never logged."""
    shutil.copytree(finished, runs_dir / record.run_id)
    return runs_dir


def test_a_run_is_rebuilt_from_its_record_alone(trained, record, wandb_server, send):
    assert send() == (1, 0)
    [run] = wandb_server.runs.values()
    assert (run.id, run.group) == (record.run_id, f"{record.experiment}: {record.arm}")
    assert run.tags == [f"experiment:{record.experiment}", "dataset:synthetic"]
    assert run.values("val/top1_error") == [point.val.top1 for point in record.curve]
    assert run.values("samples") == [point.samples for point in record.curve]
    assert run.summary["test/top1_error"] == record.test["ten_view"].top1
    assert run.config["seed"] == {"value": record.seed}
    assert run.exit_code == 0
    [predictions] = wandb_server.artifacts[f"predictions-{record.run_id}"]
    content = (trained / record.run_id / "predictions.npz").read_bytes()
    assert (predictions.files["predictions.npz"], predictions.committed) == (content, True)
    assert f"model-{record.run_id}" not in wandb_server.artifacts


def test_a_second_call_sends_nothing(trained, wandb_server, send):
    send()
    before = len(wandb_server.requests)
    assert send() == (0, 1)
    assert len(wandb_server.requests) == before


def test_what_was_forgotten_here_is_not_sent_twice(trained, record, wandb_server, send):
    send()
    (trained / "wandb.json").unlink()
    assert send() == (1, 0)
    [run] = wandb_server.runs.values()
    assert run.values("epoch") == [1, 2]
    assert len(wandb_server.artifacts[f"predictions-{record.run_id}"]) == 1


def test_a_run_that_was_cut_off_is_completed(trained, record, wandb_server, send):
    run = begin_wandb(
        record.run_id,
        values=record.run.to_dict(),
        experiment=record.experiment,
        arm=record.arm,
        claims=(),
        folder=trained,
        project=PLACE.project,
        entity=PLACE.entity,
    )
    run.log(curve_metrics(record.curve[0]))
    run.finish(exit_code=1)
    send()
    [there] = wandb_server.runs.values()
    assert there.values("epoch") == [1, 2]
    assert there.exit_code == 0


def test_a_run_that_logged_online_is_only_sent_its_artifacts(train_here, tiny_job, wandb_server):
    folder = train_here(tiny_job(logger=Logger(LoggerKind.wandb, PLACE.project)))
    [run] = wandb_server.runs.values()
    rows = run.rows
    sync(folder.parent, PLACE, checkpoints=True, tell=lambda text: None)
    assert run.rows == rows
    assert run.summary["record"]
    [model] = wandb_server.artifacts[f"model-{run.id}"]
    assert [name for name in model.files if name.endswith(".ckpt")]


def test_verdicts_are_sent_as_files(chapters, runs_dir, wandb_server, send):
    assert send() == (1, 0)
    [run] = wandb_server.runs.values()
    assert run.id == "report"
    [files] = wandb_server.artifacts["report"]
    assert files.files["verdicts.json"] == (runs_dir / "verdicts.json").read_bytes()
    assert send() == (0, 1)


def test_a_run_has_the_tags_of_its_claims(trained, record, wandb_server, send):
    values = {"": ([0.3], [0.2])}
    runs = {"with": [record]}
    save_study(trained, [make_result(name, values, runs=runs) for name in ("one", "other")])
    send()
    assert wandb_server.runs[record.run_id].tags[2:] == ["claim:one", "claim:other"]


def test_a_server_that_refuses_is_named_and_nothing_is_lost(trained, monkeypatch, send):
    with serve(refusal=401) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match=r"W&B: .*next step: `wandb login`"):
            send()
        wandb.teardown()
    assert not (trained / "wandb.json").exists()
