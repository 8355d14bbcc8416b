"""The workloads of a GPU, tried on a CPU; tests/test_gpu.py needs one."""

import sys

import pytest
import torch

from ablations.config import Precision
from benchmarks import goals, gpu
from benchmarks.__main__ import main
from benchmarks.loops import configure

SMALL = ("alexnet_small", 32, 28, 16, "width=0.1")


def test_operations_are_those_of_the_layers():
    # A dense layer of a x b weights takes 2ab forward and 4ab backward.
    config = configure("lenet5", 32, 32, 6, "init=paper")
    once = gpu.operations(config)
    twice = gpu.operations(configure("lenet5", 32, 32, 12, "init=paper"))
    assert twice == 2 * once > 6 * 2 * (120 * 84 * 3)


@pytest.mark.slow
def test_a_step_is_timed_beside_its_peers_and_the_matrix_rate():
    rows = gpu.training("cpu", "n", SMALL, turn=2, turns=2)
    assert [row.peer for row in rows] == [
        "bare loop, same tricks",
        "bare loop, plain",
        "as many operations of a product, fp32",
    ]
    assert all(len(row.ratio) == 2 for row in rows)
    assert 0.001 < rows[2].ratio[0] < 1.5  # a step does not beat a product


def test_response_normalization_is_timed_beside_a_copy(monkeypatch):
    monkeypatch.setattr(gpu, "TURN", 1)
    monkeypatch.setattr(gpu, "DTYPES", [torch.float32])  # torch's has no bfloat16 on a CPU
    rows = gpu.lrn("cpu", 1, 2)
    assert [row.peer for row in rows] == ["torch's LRN", "a copy of the least bytes"]
    assert all(ratio > 0 for row in rows for ratio in row.ratio)
    assert all((row.workload.replace("1x", "512x", 1), row.peer) in goals.GPU for row in rows)


def test_the_goals_of_steps_are_of_measured_rows():
    measured = {f"LRN, 512x96x55x55, {dtype}".replace("torch.", "") for dtype in gpu.DTYPES}
    assert {workload for workload, _ in goals.GPU} <= {*gpu.workloads(True, "cpu"), *measured}


@pytest.mark.parametrize("precision", list(Precision))
def test_the_rate_of_a_product_is_positive(precision):
    assert gpu.rate("cpu", precision) > 1e9


@pytest.mark.slow
def test_runs_share_a_device():
    (row,) = gpu.sharing("cpu", (2,), 2)
    assert row.workload == "2 runs side by side on a card, cifar_conv"
    assert 0 < row.ratio[0] < 4


def test_without_a_gpu_the_command_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--device", "cuda"])
    with pytest.raises(SystemExit, match=r"error: --device cuda: .*no GPU"):
        main()
