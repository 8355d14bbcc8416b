"""What needs a GPU: ``pytest -m gpu``. ``DEVICE=cpu`` tries these tests where there is none."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import DeviceType

from ablations.config import Accelerator, Job, Model, Precision, Recipe
from ablations.models import MODELS, build
from ablations.record import Record, load, load_all
from ablations.techniques.norm import FusedResponseNorm, response_normalization
from ablations.training.classifier import Classifier
from ablations.training.fit import train

DEVICE = os.environ.get("DEVICE", "cuda")
GPU = "gpu" if DEVICE == "cuda" else "cpu"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU"),
]


def train_on_gpu(job: Job, folder: Path, accelerator: str = GPU) -> Record:
    folder = folder / job.run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    job = replace(job, trainer=replace(job.trainer, accelerator=Accelerator(accelerator)))
    job.save(folder)
    train(job, folder)
    record = load(folder)
    assert record is not None
    return record


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("shape", "towers"),
    [((4, 96, 55, 55), 2), ((4, 256, 27, 27), 2), ((3, 32, 7, 5), 1), ((2, 6, 3, 3), 1)],
    ids=str,
)
def test_response_normalization_is_the_closed_form_in_float64(shape, towers, dtype):
    x, grad = torch.randn(2, *shape, device=DEVICE).to(dtype)
    x = (50 * x).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = response_normalization(x, alpha=1e-3, towers=towers)
    (slope,) = torch.autograd.grad(y, x, grad)
    exact_x = x.detach().cpu().double().requires_grad_()
    exact = response_normalization(exact_x, alpha=1e-3, towers=towers)
    (exact_slope,) = torch.autograd.grad(exact, exact_x, grad.cpu().double())
    rounding = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    for found, wanted in ((y.detach(), exact), (slope, exact_slope)):
        assert found.dtype == dtype
        error = (found.cpu().double() - wanted).abs().max()
        assert error <= rounding * wanted.abs().max()


@pytest.mark.skipif(DEVICE != "cuda", reason="counts the GPU's kernels")
def test_response_normalization_is_one_kernel_in_each_direction():
    from torch.profiler import ProfilerActivity, profile

    x = torch.randn(2, 8, 4, 4, device=DEVICE).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    grad = torch.ones_like(x)
    response_normalization(x).backward(grad)  # compiles
    x.grad = None
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as seen:
        response_normalization(x).backward(grad)
        torch.cuda.synchronize()
    # What the host calls is in the list as well.
    found = [event for event in seen.events() if event.device_type == DeviceType.CUDA]
    assert sorted(event.name for event in found) == ["_backward", "_forward"]


@pytest.mark.parametrize("network", list(Model), ids=lambda network: network.value)
@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
def test_every_network_takes_a_step(network, precision, monkeypatch):
    from benchmarks.loops import configure, store, suite

    crop = min(MODELS[network].crops[1], 227)
    width = "1" if network is Model.lenet5 else "0.25"
    more = [f"width={width}", "init=paper", "recipe.lr=1e-4", f"trainer={GPU}"]
    more += [f"recipe.precision={precision.value}"]
    config = configure(network.value, crop, crop, 8, *more)
    losses = []
    step = Classifier.training_step

    def note(module, batch, batch_idx):
        losses.append(step(module, batch, batch_idx))
        return losses[-1]

    monkeypatch.setattr(Classifier, "training_step", note)
    suite(config, store(crop, 64))
    assert len(losses) > 2
    assert torch.stack(losses).isfinite().all()
    assert losses[0].device.type == DEVICE


WIDTH = 0.25  # 12 and 32 channels a tower: the kernels of response normalization take fours


def test_a_run_on_a_gpu_is_the_run_on_a_cpu(tiny_job, tmp_path, monkeypatch):
    job = tiny_job(width=WIDTH)
    one = train_on_gpu(job, tmp_path / "cpu", "cpu")
    used = []
    apply = FusedResponseNorm.apply
    monkeypatch.setattr(FusedResponseNorm, "apply", lambda *x: used.append(1) or apply(*x))
    other = train_on_gpu(job, tmp_path / "gpu")
    assert bool(used) == (DEVICE == "cuda")
    assert other.hardware.accelerator == GPU
    for a, b in zip(one.curve, other.curve, strict=True):
        assert a.train.loss == pytest.approx(b.train.loss, rel=1e-4)
        assert a.val.loss == pytest.approx(b.val.loss, rel=1e-4)


def test_bf16_trains_to_about_the_same_loss(tiny_job, tmp_path):
    losses = {}
    for precision in Precision:
        recipe = Recipe(epochs=2, batch_size=16, lr=0.01, precision=precision)
        record = train_on_gpu(tiny_job(recipe=recipe, width=WIDTH), tmp_path / precision.value)
        losses[precision] = record.curve[-1].train.loss
    assert losses[Precision.bf16] == pytest.approx(losses[Precision.fp32], rel=0.05)
    assert losses[Precision.bf16] != losses[Precision.fp32]


@pytest.mark.skipif(DEVICE != "cuda", reason="only a GPU can be waited for")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_no_step_of_training_waits_for_the_gpu(tiny_job, tmp_path, monkeypatch):
    step, end = Classifier.training_step, Classifier.on_train_batch_end

    def watch(module, batch, batch_idx):
        if batch_idx:  # the first one compiles
            torch.cuda.set_sync_debug_mode("error")
        return step(module, batch, batch_idx)

    def look_away(module, *args):  # validation and the end of an epoch may wait
        torch.cuda.set_sync_debug_mode("default")
        end(module, *args)

    monkeypatch.setattr(Classifier, "training_step", watch)
    monkeypatch.setattr(Classifier, "on_train_batch_end", look_away)
    try:
        train_on_gpu(tiny_job(width=WIDTH), tmp_path)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_float32_is_not_rounded_to_tf32(tiny_job, tmp_path):
    train_on_gpu(tiny_job(), tmp_path)  # sets what follows
    x, weight = torch.randn(8, 64, 16, 16, device=DEVICE), torch.randn(64, 64, 3, 3, device=DEVICE)
    exact = F.conv2d(x.double(), weight.double())
    error = (F.conv2d(x, weight).double() - exact).abs().max() / exact.abs().max()
    assert error < 1e-5  # ten bits would give some 1e-3


def test_dropout_masks_and_initial_weights_are_those_of_a_cpu(tiny_run):
    from ablations.techniques.dropout import draw_mask

    rows = torch.arange(7)
    on_gpu = draw_mask(123, rows.to(DEVICE), 33).cpu()
    assert torch.equal(draw_mask(123, rows, 33), on_gpu)
    assert next(build(tiny_run, 10).parameters()).device.type == "cpu"  # moved after they are drawn


@pytest.mark.parametrize("hardware", [f"trainer={GPU}", "trainer=auto", "trainer=ddp"])
@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
def test_commands_of_every_hardware_file_end_well(start, tiny, hardware, precision):
    command = start(
        *(word for word in tiny if not word.startswith("trainer=")),
        *(hardware, "trainer.devices=1", "fast_dev_run=true"),
        f"recipe.precision={precision.value}",
    ).finish()
    assert command.code == 0, command.err + command.out


def test_several_runs_share_a_card(start, tiny, tmp_path):
    words = [word for word in tiny if not word.startswith("trainer=")]
    command = start(*("-m", *words, f"trainer={GPU}", "trainer.parallel=3", "seed=0,1,2")).finish()
    assert command.code == 0, command.err + command.out
    records = load_all(tmp_path / "runs")
    assert len(records) == 3
    assert {record.hardware.accelerator for record in records} == {GPU}


def test_a_killed_run_continues(start, tiny, tmp_path: Path):
    words = [word for word in tiny if not word.startswith("trainer=")]
    words = [*words, f"trainer={GPU}", "recipe.epochs=40"]
    first = start(*words)
    first.wait_until(lambda: list((tmp_path / "runs").glob("*/last.ckpt")))
    first.clear()
    (path,) = (tmp_path / "runs").glob("*/last.ckpt")
    kept = torch.load(path, weights_only=True)["callbacks"]["History"]["curve"]
    again = start(*words).finish()
    assert again.code == 0, again.err + again.out
    (record,) = load_all(tmp_path / "runs")
    assert record.epochs == 40
    seconds = [point.seconds for point in record.curve[: len(kept)]]
    assert seconds == [point["seconds"] for point in kept]  # not trained again
