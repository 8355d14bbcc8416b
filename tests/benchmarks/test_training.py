import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the extra `keras`")
def test_a_tutorials_network_computes_what_keras_does():
    command = [sys.executable, "-m", "benchmarks.keras_forward", "half_tower_v2"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5,925,672   5,925,672   5,925,672" in done.stdout
