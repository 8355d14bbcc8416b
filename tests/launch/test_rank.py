import os
import signal
import sys
from pathlib import Path

import pytest

from ablations.launch import rank


@pytest.mark.parametrize("leader", [False, True])
def test_a_rank_trains_the_frozen_run(leader: bool, monkeypatch, tiny_job, tmp_path: Path):
    job = tiny_job()
    job.save(tmp_path)
    calls = []
    monkeypatch.setattr(sys, "argv", ["rank", str(tmp_path), "cpu", "4711"])
    monkeypatch.setattr(rank, "train", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(rank, "end_with_parent", lambda parent: calls.append(parent))
    monkeypatch.setattr(os, "getpgid", lambda pid: os.getpid() if leader else 1)
    monkeypatch.setattr(os, "setpgid", lambda *arguments: calls.append(arguments))
    rank.main()
    # Ctrl-C in the terminal is not for ranks; a group of its own may be had only once.
    group = [] if leader else [(0, 0)]
    assert calls == [*group, 4711, (job, tmp_path, "cpu")]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
