from pathlib import Path

import pytest

from ablations.data.cpu import cpu_flags


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
