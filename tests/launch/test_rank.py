import signal
import sys
from pathlib import Path

from ablations.launch import rank


def test_a_rank_trains_the_frozen_run(monkeypatch, tiny_job, tmp_path: Path):
    job = tiny_job()
    job.save(tmp_path)
    calls = []
    monkeypatch.setattr(sys, "argv", ["rank", str(tmp_path), "cpu"])
    monkeypatch.setattr(rank, "train", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(rank, "end_with_parent", lambda parent: calls.append(parent))
    monkeypatch.setattr(rank.os, "setpgid", lambda *arguments: calls.append(arguments))
    rank.main()
    assert calls[0] == (0, 0)  # Ctrl-C in the terminal is not for ranks
    assert calls[1] == rank.os.getppid()
    assert calls[2] == (job, tmp_path, "cpu")
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
