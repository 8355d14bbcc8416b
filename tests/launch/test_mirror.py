"""A command asks W&B once whether it answers."""

import os
from pathlib import Path

import pytest
from wandb_server import serve

from ablations.config import Logger, LoggerKind
from ablations.launch.mirror import settle_wandb


@pytest.fixture
def job(tiny_job):
    return tiny_job(logger=Logger(LoggerKind.wandb))


def test_nothing_is_said_of_a_server_that_answers(job, wandb_server):
    assert settle_wandb([job]) is None
    assert os.environ["WANDB_MODE"] == "online"
    assert wandb_server.requests == ["Viewer"]


@pytest.mark.parametrize(
    ("refusal", "words"), [(401, "(401 Unauthorized)"), (500, "(500 Internal Server Error)")]
)
def test_a_server_that_refuses_turns_the_runs_offline(job, monkeypatch, refusal, words):
    with serve(refusal) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        said = settle_wandb([job])
    assert said is not None
    assert words in said
    assert "dashboard.py --sync" in said
    assert os.environ["WANDB_MODE"] == "offline"
    assert settle_wandb([job]) is None  # once


def test_so_does_one_that_is_away_and_the_saved_key_is_found(job, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert settle_wandb([job]) is None  # not logged in
    Path(".netrc").write_text(f"machine 127.0.0.1 login user password {'x' * 40}\n")
    Path(".netrc").chmod(0o600)
    assert "http://127.0.0.1:9 does not answer" in (settle_wandb([job]) or "")


def test_who_does_not_log_there_is_not_asked(tiny_job, wandb_server, monkeypatch):
    kind = Logger(LoggerKind.wandb)
    assert settle_wandb([tiny_job(), tiny_job(logger=kind, fast_dev_run=True)]) is None
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert settle_wandb([tiny_job(logger=kind)]) is None
    assert wandb_server.requests == []
