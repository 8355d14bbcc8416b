import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablations.data.executors import cpu_flags

POOL = """
import os, time
from ablations.data.executors import processes
if __name__ == "__main__":
    with processes() as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("model name\t: x\nflags\t\t: fpu avx512_bf16 avx2\n", ["avx2", "avx512_bf16"]),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", ["asimd", "bf16"]),
        ("", []),
    ],
)
def test_vector_instructions_of_the_processor(monkeypatch, text: str, flags: list[str]):
    monkeypatch.setattr(Path, "exists", lambda self: True)
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    assert cpu_flags() == flags


def test_processes_end_with_the_one_that_was_killed(tmp_path: Path):
    (tmp_path / "pool.py").write_text(POOL)
    command = [sys.executable, str(tmp_path / "pool.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc", parent.stdout.readline().strip())
        assert child.name != str(parent.pid)
        assert child.exists()
        parent.kill()
    deadline = time.monotonic() + 30
    while child.exists() and "zombie" not in (child / "status").read_text():
        assert time.monotonic() < deadline, "the child is still running"
        time.sleep(0.05)
