"""What lies on disk arrives in W&B, once, as far as it is not there yet."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import wandb
from wandb_server import serve

from ablations.board.sync import Place, sync, verdict_id
from ablations.classifier import curve_metrics
from ablations.config import ConfigError, Logger, LoggerKind
from ablations.loggers import begin_wandb
from ablations.page.evidence import gather

RESULTS = Path(__file__).resolve().parents[2] / "results" / "cifar10_small"
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
        values=record.run,
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


def test_a_run_that_logged_online_is_only_told_its_artifacts(train_here, tiny_job, wandb_server):
    folder = train_here(tiny_job(logger=Logger(LoggerKind.wandb, PLACE.project)))
    [run] = wandb_server.runs.values()
    rows = run.rows
    sync(folder.parent, PLACE, checkpoints=True, tell=lambda text: None)
    assert run.rows == rows
    assert run.summary["record"]
    [model] = wandb_server.artifacts[f"model-{run.id}"]
    assert [name for name in model.files if name.endswith(".ckpt")]


def test_a_verdict_is_a_run_with_the_papers_figure_as_a_line(runs_dir, wandb_server, send):
    written = json.loads((RESULTS / "verdicts.json").read_text())
    [study] = written["studies"]
    study["results"] = [r for r in study["results"] if r["claim"] == "lrn_lowers_error"]
    (runs_dir / "verdicts.json").write_text(json.dumps(written))
    assert send() == (2, 0)  # with the files
    [finding] = gather(runs_dir).chapters[0].findings
    run = wandb_server.runs[verdict_id(finding)]
    assert run.values("pair") == [1, 2, 3, 4, 5]
    lines = {name: run.values(f"lrn_lowers_error/{name}") for name in ("paper", "effect", "with")}
    assert lines["paper"] == pytest.approx([1.4] * 5)
    assert lines["effect"] == pytest.approx([finding.estimate] * 5)
    lrn = finding.result.arms["with"].values
    assert lines["with"] == pytest.approx([100 * value for value in lrn.values()])
    assert run.summary["verdict"] == "contradicted (opposite)"
    assert "claim:lrn_lowers_error" in run.tags
    [files] = wandb_server.artifacts["report"]
    assert "verdicts.json" in files.files
    assert send() == (0, 2)


def test_a_verdict_over_more_pairs_replaces_the_one_before(runs_dir, wandb_server, send):
    written = json.loads((RESULTS / "verdicts.json").read_text())
    [study] = written["studies"]
    study["results"] = [r for r in study["results"] if r["claim"] == "lrn_lowers_error"]
    early = copy.deepcopy(written)
    [result] = early["studies"][0]["results"]
    result["verdict"] |= {"n": 3, "estimate": -0.02}
    for arm in result["arms"].values():
        arm["values"] = dict(list(arm["values"].items())[:3])
    for verdicts in (early, written):
        (runs_dir / "verdicts.json").write_text(json.dumps(verdicts))
        send()
    [finding] = gather(runs_dir).chapters[0].findings
    run = wandb_server.runs[verdict_id(finding)]
    assert run.values("pair") == [1, 2, 3, 4, 5]
    assert run.values("lrn_lowers_error/effect") == pytest.approx([finding.estimate] * 5)


def test_a_server_that_refuses_is_named_and_nothing_is_lost(trained, monkeypatch, send):
    with serve(refusal=401) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match=r"W&B: .*next step: `wandb login`"):
            send()
        wandb.teardown()
    assert not (trained / "wandb.json").exists()
