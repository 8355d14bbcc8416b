import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablations.launch import worker as module


@pytest.fixture
def quiet(monkeypatch):
    """Let this process be the process of a run."""
    for name in ("setpgid", "getppid"):
        monkeypatch.setattr(module.os, name, lambda *arguments: 0)
    for name in ("end_with_parent", "_write_output_to"):
        monkeypatch.setattr(module, name, lambda *given, **more: None)


@pytest.mark.parametrize(("gpus", "seen"), [((), ""), (("2", "3"), "2,3"), (None, "0,1")])
def test_a_run_sees_the_gpus_of_its_slot_only(gpus, seen, finished: Path, quiet, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("WANDB_MODE", "online")  # as when the server was started
    module.run_process(finished, gpus, "offline")  # done: nothing is trained
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
    assert os.environ["WANDB_MODE"] == "offline"


WATCHED = """
import os, signal, subprocess, sys, time
from ablations.launch.worker import end_with_parent
os.setpgid(0, 0)
end_with_parent(os.getppid(), grace=2.0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
print(os.getpid(), child.pid, flush=True)
while True:
    time.sleep(0.1)
"""

PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {watched!r}])
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_process_group_that_ignores_sigterm_ends_with_its_parent():
    source = PARENT.format(watched=WATCHED)
    parent = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 15
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [pid for pid in pids if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
