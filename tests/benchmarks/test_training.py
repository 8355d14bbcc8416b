import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import goals, gpu
from benchmarks.loops import PEERS, beside_loops, configure


@pytest.mark.slow
def test_an_epoch_of_the_suite_is_timed_beside_bare_loops():
    config = configure("alexnet_small", 32, 28, 16, "width=0.1")
    rows = beside_loops("n", config, steps=2, rounds=2, seconds=60.0)
    assert [row.peer for row in rows] == list(PEERS.values())
    assert all(0.01 < ratio < 100 for row in rows for ratio in row.ratio)


def test_operations_are_those_of_the_layers():
    # A dense layer of a x b weights takes 2ab forward and 4ab backward.
    once, twice = (
        gpu.operations(configure("lenet5", 32, 32, batch, "init=paper")) for batch in (6, 12)
    )
    assert twice == 2 * once > 6 * 2 * (120 * 84 * 3)


def test_the_goals_of_steps_on_a_gpu_are_of_measured_rows():
    measured = {f"LRN, 512x96x55x55, {dtype}".replace("torch.", "") for dtype in gpu.DTYPES}
    assert {workload for workload, _ in goals.GPU} <= {*gpu.NETWORKS, *measured}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the extra `keras`")
def test_a_tutorials_network_computes_what_keras_does():
    command = [sys.executable, "-m", "benchmarks.keras_forward", "half_tower_v2"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "5,925,672 | 5,925,672 | 5,925,672" in done.stdout
