import platform
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from finished import loaded, outcome, predictions, trained_network
from lightning_fabric.accelerators.mps import MPSAccelerator
from torchmetrics import Metric

from ablations.config import Accelerator, ConfigError, DataConfig, Logger, LoggerKind, Trainer
from ablations.record import CHECKPOINT
from ablations.training import fit as module
from ablations.training.classifier import Classifier
from ablations.training.history import History


def test_the_same_run_gives_the_same_numbers(tiny_job, train_here, finished: Path):
    assert outcome(train_here(tiny_job())) == outcome(finished)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"replicate": 1}], ids=str)
def test_what_moves_the_id_moves_the_predictions(changes, tiny_job, train_here, finished: Path):
    other = train_here(tiny_job(**changes))
    assert not np.array_equal(predictions(other)["ten_view"], predictions(finished)["ten_view"])


def test_a_fast_dev_run_leaves_neither_record_nor_checkpoint(tiny_job, train_here):
    folder = train_here(tiny_job(fast_dev_run=True))
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "progress.json"}


@pytest.mark.filterwarnings("ignore:GPU available but not used")  # as `train` does
@pytest.mark.parametrize("wanted", [Accelerator.auto, Accelerator.cpu])
def test_apples_gpu_is_never_chosen(wanted, tiny_job, runs_dir, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    # Without its cache, in which an earlier test may have left the answer of this machine.
    uncached = staticmethod(MPSAccelerator.is_available.__wrapped__)
    monkeypatch.setattr(MPSAccelerator, "is_available", uncached)
    assert pl.accelerators.MPSAccelerator.is_available()  # what Lightning itself would take
    job = tiny_job(trainer=Trainer(accelerator=wanted))
    trainer = module.build_trainer(job, runs_dir, module.History(job.run.recipe), None, 1)
    assert trainer.strategy.root_device.type == "cpu"
    gpu = replace(job, trainer=Trainer(accelerator=Accelerator.gpu))
    with pytest.raises(ConfigError, match="torch finds no GPU"):
        module.build_trainer(gpu, runs_dir, module.History(job.run.recipe), None, 1)


# Training without validation images


def test_a_run_without_validation_images_trains_on_all_of_them(tiny_job, train_here):
    data = DataConfig(size=16, crop=12, val_size=0)
    record = loaded(train_here(tiny_job(data=data, logger=Logger(LoggerKind.csv))))
    assert (record.val, [point.val for point in record.curve]) == (None, [None, None])
    assert (record.data.train_images, record.data.val_images, record.data.val_size) == (60, 0, 0)
    assert record.train.count == 60
    assert {view: s.count for view, s in record.test.items()} == {"center": 23, "ten_view": 23}


# Training that starts from another run


def test_a_run_starts_from_the_weights_of_another(tiny_job, train_here, finished, monkeypatch):
    seen = {}

    def keep(self):
        seen.update({name: value.clone() for name, value in self.network.state_dict().items()})

    monkeypatch.setattr(Classifier, "on_fit_start", keep, raising=False)
    job = tiny_job(pretrained=finished.name, seed=1)
    record = loaded(train_here(replace(job, weights=str(finished / CHECKPOINT))))
    expected = trained_network(finished).state_dict()
    assert seen.keys() == expected.keys()
    assert all(torch.equal(seen[name], expected[name]) for name in seen)
    assert record.run.pretrained == finished.name


# The machine


def test_float32_is_not_rounded(tiny_job, train_here, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    train_here(tiny_job())
    assert not torch.backends.cudnn.allow_tf32


def test_errors_stay_where_the_devices_can_sum_them(tiny_job, train_here, monkeypatch):
    # Lightning moves the module to the CPU after a test; a reset stands for what is lost there.
    def away(self):
        for child in self.children():
            if hasattr(self, "seen") and isinstance(child, Metric):
                child.reset()
        return self

    monkeypatch.setattr(Classifier, "cpu", away)
    assert loaded(train_here(tiny_job())).test["ten_view"].count == 23


# Several processes


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(start, tiny):
    one_step = (*tiny, "recipe.epochs=1", "data.train_limit=17", "recipe.batch_size=17")
    momenta = []
    for devices in (1, 2):
        output = f"output=runs{devices}"
        command = start(*one_step, f"trainer.devices={devices}", output).finish()
        assert command.code == 0, command.err
        (path,) = Path(f"runs{devices}").glob(f"*/{CHECKPOINT}")
        state = torch.load(path, weights_only=True)["optimizer_states"][0]["state"]
        # After one step the momentum is the gradient, plus the decay of equal weights.
        momenta.append([entry["momentum_buffer"] for _, entry in sorted(state.items())])
    assert len(momenta[0]) == 16
    for one, two in zip(*momenta, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
        assert one.abs().max() > 0


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_holds_the_tally_of_both(start, tiny):
    command = start(*tiny, "trainer.devices=2", "trainer.checkpoint_steps=1").finish()
    assert command.code == 0, command.out + command.err
    (path,) = Path("runs").glob(f"*/{CHECKPOINT}")
    assert torch.load(path, weights_only=True)["state_dict"]["train_errors.count"] == 48
    record = loaded(path.parent)
    assert [point.train.count for point in record.curve] == [48, 48]
    assert record.hardware.devices == 2
    assert record.test["ten_view"].count == 23


def test_ddp_broadcasts_no_buffer_in_a_step(tiny_job, tmp_path, monkeypatch):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        job = tiny_job()
        trainer = module.build_trainer(job, tmp_path, History(job.run.recipe), None, world=2)
        trainer.strategy.model = pl.LightningModule()
        trainer.strategy.model.norm = torch.nn.BatchNorm2d(2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            trainer.strategy.configure_ddp()
        assert not trainer.strategy.model.will_sync_module_buffers()
    finally:
        torch.distributed.destroy_process_group()
