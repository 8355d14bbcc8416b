import os
import signal
from pathlib import Path

import pytest
from torch.distributed import DistBackendError

from ablations.launch import rank


def test_a_rank_trains_the_frozen_run(monkeypatch, tiny_job, tmp_path: Path):
    job = tiny_job()
    job.save(tmp_path)
    calls = []
    monkeypatch.setattr(rank, "train", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(rank, "end_with_parent", lambda parent: calls.append(parent))
    monkeypatch.setattr(os, "setpgid", lambda *arguments: calls.append(arguments))
    # What the agent does on a signal is not for its ranks to do.
    signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    rank.train_rank(tmp_path, "cpu", 4711)
    assert calls == [(0, 0), 4711, (job, tmp_path, "cpu")]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (DistBackendError("NCCL error: remote process exited"), True),
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("gloo"), False),
    ],
)
def test_a_rank_that_has_lost_another_lets_that_one_be_seen_first(
    error, waits, monkeypatch, tiny_job, tmp_path: Path
):
    tiny_job().save(tmp_path)

    def fail(*arguments):
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN if waits else signal.SIG_DFL
        )  # as training does
        raise error

    waited = []
    monkeypatch.setattr(rank, "train", fail)
    monkeypatch.setattr(rank, "end_with_parent", lambda parent: None)
    monkeypatch.setattr(os, "setpgid", lambda *arguments: None)
    monkeypatch.setattr(rank.time, "sleep", waited.append)
    with pytest.raises(type(error)):
        rank.train_rank(tmp_path, "cpu", 4711)
    assert waited == [rank.FIRST_SECONDS] * waits
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # the agent may end it meanwhile
