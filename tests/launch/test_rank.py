import os
import signal
from pathlib import Path

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
