import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import training


def test_costs_are_of_an_image(monkeypatch):
    def suite(config, data, steps, peers):
        assert set(peers) == {"bare"}
        if config.model.value == "cifar_conv":  # a millisecond an image
            return {"suite": [float(config.recipe.batch_size)], "bare": [128.0]}
        return {"suite": [3.0], "bare": [1.0]}

    monkeypatch.setattr(training, "suite", suite)
    monkeypatch.setattr(training, "bare", lambda *arguments, tricks: None)
    monkeypatch.setattr(training, "store", lambda size, images: None)
    rows = training.scale(8)
    assert [row.workload for row in rows[::4]] == [
        "an image of cifar_conv, batch 8",
        "an image of alexnet_small-64",
    ]
    assert [row.ratio for row in rows] == [[1.0]] * 4 + [[3.0]] * 2


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the extra `keras`")
def test_a_tutorials_network_computes_what_keras_does():
    command = [sys.executable, "-m", "benchmarks.keras_forward", "half_tower_v2"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5,925,672   5,925,672   5,925,672" in done.stdout
