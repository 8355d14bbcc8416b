import os
from pathlib import Path

import pytest

from ablations.data.executors import cpu_cores, cpu_flags, processes, threads


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


def test_a_thread_per_core():
    with threads() as pool:
        assert pool._max_workers == cpu_cores()
        assert list(pool.map(abs, [-1, 2])) == [1, 2]


@pytest.mark.slow
def test_work_is_done_in_other_processes():
    with processes() as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
