import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torchmetrics import Metric

from ablations import metrics, models
from ablations.config import NUMERICS, DataConfig, Job, Logger, LoggerKind, Recipe, Schedule
from ablations.data.store import Store
from ablations.metrics import true_class_rank
from ablations.record import CHECKPOINT, PREDICTIONS, RECORD, Record, load, unpack
from ablations.techniques import Activation, Augmentation, Dropout, Edition, Norm
from ablations.techniques.evaluation import average_probabilities, center_crop, ten_views
from ablations.techniques.towers import tower_colors
from ablations.training import fit as module
from ablations.training import result
from ablations.training.classifier import Classifier
from ablations.training.fit import ConstantBuffersDDP
from ablations.training.progress import Progress


def predictions(folder: Path) -> dict[str, np.ndarray]:
    """Probabilities by view."""
    with np.load(folder / PREDICTIONS) as file:
        return {view: file[view] for view in ("center", "ten_view")}


# Probabilities are stored with seven significant bits.
ROUNDED = {"rtol": 2**-7, "atol": 2**-14}


def trained_network(folder: Path) -> torch.nn.Module:
    job = Job.load(folder)
    network = models.build(job.run, 10)
    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
    weights = {
        name.removeprefix("network."): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }
    network.load_state_dict(weights)
    return network.eval()


def test_float32_is_not_rounded_and_the_record_says_where_it_ran(tiny_job, train_here, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    record = load(train_here(tiny_job()))
    assert not torch.backends.cudnn.allow_tf32
    assert record is not None
    assert record.hardware.accelerator == "cpu"


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has mallopt")
def test_freed_memory_is_used_again_without_the_kernel():
    code = """
import resource, torch
from ablations.training.fit import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
fresh = faults(), faults()
keep_freed_memory()
print(min(fresh), min(faults() for _ in range(4)))
"""
    environment = os.environ | {"THP_MEM_ALLOC_ENABLE": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    fresh, kept = map(int, done.stdout.split())
    assert fresh > 1000 > 10 * kept


def test_the_record_is_there_before_its_mirror(tiny_job, train_here, monkeypatch, runs_dir):
    def lose(logger, record):
        raise OSError("the mirror is gone")

    monkeypatch.setattr(module, "log_record", lose)
    job = tiny_job(logger=Logger(LoggerKind.csv))
    with pytest.raises(OSError, match="the mirror is gone"):
        train_here(job)
    assert load(runs_dir / job.run.run_id) is not None


def stop_at(monkeypatch: pytest.MonkeyPatch, hook: str, step: int) -> None:
    """Send this process SIGTERM when ``hook`` is called after ``step`` steps."""

    class Stopping(Progress):
        pass

    def stopping(self, trainer, *arguments):
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    setattr(Stopping, hook, stopping)
    monkeypatch.setattr(module, "Progress", Stopping)


# A run from beginning to end


def test_the_record_tells_what_was_trained(record: Record, finished: Path):
    job = Job.load(finished)
    assert record.run_id == job.run.run_id == finished.name
    assert (record.numerics, record.differences) == (NUMERICS, job.run.differences)
    assert record.run.run_id == job.run.run_id
    assert record.evaluation == "ten_view"
    assert (record.status, record.experiment, record.arm, record.seed) == (
        "finished",
        "smoke",
        "baseline",
        0,
    )
    assert (record.epochs, record.steps, record.samples) == (2, 6, 96)
    assert (record.data.name, record.data.classes) == ("synthetic", 10)
    assert record.data.fingerprint == job.run.fingerprint
    assert (record.data.size, record.data.crop, record.data.val_size) == (16, 12, 11)
    images = (record.data.train_images, record.data.val_images, record.data.test_images)
    assert (images, record.data.train_limit, record.data.skipped) == ((49, 11, 23), None, 0)
    network = models.build(job.run, 10)
    assert record.parameters == sum(p.numel() for p in network.parameters())
    assert (record.hardware.devices, record.hardware.threads) == (1, 1)
    assert record.hardware.device
    assert record.seconds > 0
    assert record.evaluation_seconds > 0
    assert record.images_per_second == pytest.approx(96 / record.seconds)


def test_the_curve_has_a_point_for_each_epoch(record: Record):
    assert [(p.epoch, p.samples, p.lr) for p in record.curve] == [(1, 48, 0.01), (2, 96, 0.01)]
    assert [(p.train.count, p.val.count) for p in record.curve] == [(48, 11), (48, 11)]
    assert record.curve[0].seconds < record.curve[1].seconds


def test_every_image_of_each_split_counts_once(record: Record):
    assert record.train is not None
    assert record.val is not None
    assert (record.train.count, record.val.count) == (49, 11)
    assert {view: scores.count for view, scores in record.test.items()} == {
        "center": 23,
        "ten_view": 23,
    }


def test_errors_stay_where_the_devices_can_sum_them(tiny_job, train_here, monkeypatch):
    # Lightning moves the module to the host after a test; "meta" loses what was moved.
    def away(self):
        for child in self.children():
            if hasattr(self, "seen") and isinstance(child, Metric):
                child.to("meta")
        return self

    monkeypatch.setattr(module.Classifier, "cpu", away)
    record = load(train_here(tiny_job()))
    assert record is not None
    assert record.test["ten_view"].count == 23


def test_the_last_validation_is_that_of_the_curve(record: Record):
    assert record.val == record.curve[-1].val


def test_the_record_tells_where_its_numbers_come_from(record: Record):
    assert set(record.provenance["versions"]) >= {"python", "torch", "pytorch-lightning"}
    assert record.provenance["commit"]
    assert isinstance(record.provenance["dirty"], bool)


def test_the_record_tells_the_colors_of_the_towers(record: Record, finished: Path):
    kernels = trained_network(finished).get_parameter("conv1.weight").detach().numpy()
    assert record.colors == pytest.approx(tower_colors(kernels))
    assert len(set(record.colors)) == 2


def test_test_errors_follow_from_the_predictions(record: Record, finished: Path):
    labels = Store.open(Path(Job.load(finished).store)).test_labels
    for view, values in predictions(finished).items():
        assert values.shape == (23, 10)
        assert values.dtype == np.float16
        ranked = np.argsort(-values.astype(np.float64), axis=1, kind="stable")
        wrong1 = np.mean([label != row[0] for label, row in zip(labels, ranked, strict=True)])
        wrong5 = np.mean([label not in row[:5] for label, row in zip(labels, ranked, strict=True)])
        # Half-precision probabilities may tie where the errors were counted in single precision.
        assert abs(record.test[view].top1 - wrong1) <= 1 / 23 + 1e-9
        assert abs(record.test[view].top5 - wrong5) <= 1 / 23 + 1e-9


def test_the_online_loss_is_the_mean_over_windows_of_steps(tiny_job, train_here, monkeypatch):
    monkeypatch.setattr(metrics, "window_ends", lambda steps: [1, 4, steps])
    losses = []
    step = Classifier.training_step

    def note(self, batch, batch_idx):
        losses.append(step(self, batch, batch_idx))  # the mean over the batch
        return losses[-1]

    monkeypatch.setattr(Classifier, "training_step", note)
    record = load(train_here(tiny_job()))
    assert record is not None
    assert record.online_loss.steps == [1, 4, 6]
    means = torch.stack(losses).tolist()
    expected = [means[0], np.mean(means[1:4]), np.mean(means[4:])]
    assert record.online_loss.loss == pytest.approx(expected)


@pytest.mark.parametrize("step", [1, 2, 4, 5])
def test_the_online_loss_goes_on_after_an_interruption_within_a_window(
    step: int, tiny_job, train_here, monkeypatch
):
    monkeypatch.setattr(metrics, "window_ends", lambda steps: [4, steps])
    folder = train_here(tiny_job())
    whole = load(folder)
    for path in folder.iterdir():
        path.unlink()
    with monkeypatch.context() as patch:
        stop_at(patch, "on_train_batch_end", step)
        with pytest.raises(SystemExit):
            train_here(tiny_job())
    resumed = load(train_here(tiny_job()))
    assert whole is not None
    assert resumed is not None
    assert whole.online_loss.steps == [4, 6]
    assert resumed.online_loss == whole.online_loss


@pytest.mark.parametrize("view", ["center", "ten_view"])
def test_the_record_says_which_images_are_wrong(record: Record, finished: Path, view: str):
    labels = Store.open(Path(Job.load(finished).store)).test_labels
    assert np.array_equal(unpack(record.labels), labels)
    assert record.misclassified(view).mean() == pytest.approx(record.test[view].top1)
    guesses = predictions(finished)[view].argmax(1)
    assert (guesses == unpack(record.predicted[view])).mean() > 0.9  # rounding may tie


def test_the_file_of_predictions_has_the_labels(finished: Path):
    labels = Store.open(Path(Job.load(finished).store)).test_labels
    with np.load(finished / PREDICTIONS) as file:
        assert sorted(file.files) == ["center", "labels", "ten_view"]
        assert np.array_equal(file["labels"], labels)


def test_ten_view_errors_by_hand(record: Record, finished: Path):
    store = Store.open(Path(Job.load(finished).store))
    network, mean = trained_network(finished), torch.tensor(store.mean_image)[2:14, 2:14]
    images, labels = torch.tensor(store.test_images), torch.tensor(store.test_labels)
    probabilities = torch.zeros(23, 10)
    with torch.no_grad():
        for top, left in [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]:
            crop = images[:, top : top + 12, left : left + 12]
            for view in (crop, crop.flip(2)):
                inputs = (view - mean).permute(0, 3, 1, 2)
                probabilities += network(inputs).softmax(1) / 10
    saved = predictions(finished)["ten_view"]
    np.testing.assert_allclose(saved, probabilities, **ROUNDED)
    rank = true_class_rank(probabilities, labels)
    assert record.test["ten_view"].top1 == pytest.approx((rank >= 1).double().mean().item())
    assert record.test["ten_view"].top5 == pytest.approx((rank >= 5).double().mean().item())


def test_predictions_lie_in_the_order_of_the_test_images(finished: Path):
    store = Store.open(Path(Job.load(finished).store))
    network, mean = trained_network(finished), torch.tensor(store.mean_image)[2:14, 2:14]
    for n in (0, 11, 22):
        image = torch.tensor(store.test_images[n : n + 1])
        with torch.no_grad():
            inputs = (center_crop(image, 12) - mean).permute(0, 3, 1, 2)
            expected = network(inputs).softmax(1)
            views = (ten_views(image, 12).flatten(0, 1) - mean).permute(0, 3, 1, 2)
            mixed = average_probabilities(network(views).view(1, 10, -1))
        np.testing.assert_allclose(predictions(finished)["center"][n], expected[0], **ROUNDED)
        np.testing.assert_allclose(predictions(finished)["ten_view"][n], mixed[0], **ROUNDED)


def test_predictions_that_miss_an_image_are_refused():
    seen = {"index": np.array([0, 2]), "center": np.zeros((2, 10))}
    with pytest.raises(RuntimeError, match="2 test predictions are not one for each of 3 images"):
        result._in_order(seen, 3)


def test_the_progress_file_ends_with_the_test(finished: Path, record: Record):
    progress = json.loads((finished / "progress.json").read_text())
    assert progress == {"stage": "test", "epochs": 2, "val_top1": record.val.top1}


def test_a_login_node_of_a_cluster_trains_like_any_machine(
    tiny_job, train_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # Lightning would warn, which fails a test, and advise to start the ranks by hand.
    assert load(train_here(tiny_job())) is not None


# The same again, and not the same


def test_the_same_run_gives_the_same_numbers(tiny_job, train_here, record: Record, finished: Path):
    again = train_here(tiny_job())
    assert (again / PREDICTIONS).read_bytes() == (finished / PREDICTIONS).read_bytes()
    ours = load(again)
    assert ours is not None
    assert (ours.train, ours.val, ours.test) == (record.train, record.val, record.test)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"replicate": 1},
        {"activation": Activation.tanh},
        {"norm": Norm.none},
        {"dropout": Dropout.off},
        {"augmentation": Augmentation.none},
        {"augmentation": Augmentation.crop_flip},
        {"edition": Edition.released},
    ],
    ids=str,
)
def test_what_moves_the_id_moves_the_predictions(changes, tiny_job, train_here, finished: Path):
    other = train_here(tiny_job(**changes))
    assert not np.array_equal(predictions(other)["ten_view"], predictions(finished)["ten_view"])


# Divergence


def test_a_diverged_run_is_recorded_as_such(tiny_job, train_here):
    folder = train_here(tiny_job(recipe=Recipe(epochs=3, batch_size=16, lr=1e6)))
    record = load(folder)
    assert record is not None
    assert (record.status, record.test, record.train) == ("diverged", {}, None)
    assert (record.val, record.predicted, record.colors, record.neighbors) == (None, {}, [], None)
    assert record.epochs < 3
    assert not (folder / PREDICTIONS).exists()


def test_a_network_that_breaks_in_the_last_step_of_an_epoch_has_diverged(
    tiny_job, train_here, monkeypatch
):
    # The running loss is finite then, the validation loss is not; JSON has no word for that.
    def spoil(self):
        self.val_errors.reset()
        for parameter in self.network.parameters():
            parameter.data.fill_(float("nan"))

    monkeypatch.setattr(Classifier, "on_validation_epoch_start", spoil)
    record = load(train_here(tiny_job()))
    assert record is not None
    assert (record.status, record.epochs) == ("diverged", 0)


# Interruption


def test_a_resumed_run_keeps_the_threads_that_it_was_started_with(
    tiny_job, train_here, runs_dir: Path, monkeypatch
):
    job = tiny_job()
    two, one = (replace(job, trainer=replace(job.trainer, threads=n)) for n in (2, 1))
    with monkeypatch.context() as patch:
        stop_at(patch, "on_train_batch_end", 1)
        with pytest.raises(SystemExit):
            train_here(two)
    train_here(one)
    record = load(runs_dir / job.run.run_id)
    assert record is not None
    assert record.hardware.threads == 2


@pytest.mark.parametrize(
    ("hook", "step", "batches"),
    [
        ("on_train_batch_end", 1, 1),
        ("on_train_batch_end", 5, 2),
        ("on_train_epoch_end", 3, 0),
        ("on_test_start", 6, 0),
    ],
    ids=["in epoch 1", "in epoch 2", "after epoch 1", "in the test"],
)
@pytest.mark.parametrize("schedule", [Schedule.constant, Schedule.cosine], ids=lambda s: s.value)
def test_an_interrupted_run_continues_bit_by_bit(
    hook: str,
    step: int,
    batches: int,
    schedule: Schedule,
    tiny_job,
    train_here,
    runs_dir: Path,
    monkeypatch,
):
    job = tiny_job(recipe=Recipe(epochs=2, batch_size=16, lr=0.01, schedule=schedule))
    folder = runs_dir / job.run.run_id
    with monkeypatch.context() as patch:
        stop_at(patch, hook, step)
        with pytest.raises(SystemExit) as stopped:
            train_here(job)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert load(folder) is None
    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
    done = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert (checkpoint["global_step"], done) == (step, [{"batches": batches}])
    train_here(job)
    resumed, predicted = load(folder), (folder / PREDICTIONS).read_bytes()
    weights = torch.load(folder / CHECKPOINT, weights_only=True)["state_dict"]

    for path in folder.iterdir():
        path.unlink()
    train_here(job)
    whole = load(folder)
    assert (folder / PREDICTIONS).read_bytes() == predicted
    expected = torch.load(folder / CHECKPOINT, weights_only=True)["state_dict"]
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert resumed is not None
    assert whole is not None
    assert [replace(p, seconds=0.0) for p in resumed.curve] == [
        replace(p, seconds=0.0) for p in whole.curve
    ]
    assert (resumed.train, resumed.val, resumed.test) == (whole.train, whole.val, whole.test)
    assert resumed.online_loss == whole.online_loss
    assert (resumed.neighbors, resumed.predicted) == (whole.neighbors, whole.predicted)
    assert (resumed.steps, resumed.samples) == (whole.steps, whole.samples)


def test_a_run_stopped_while_it_validates_repeats_the_epoch(
    tiny_job, train_here, runs_dir: Path, monkeypatch, finished: Path
):
    job = tiny_job()
    with monkeypatch.context() as patch:
        stop_at(patch, "on_validation_batch_start", 6)
        with pytest.raises(SystemExit):
            train_here(job)
    folder = runs_dir / job.run.run_id
    assert torch.load(folder / CHECKPOINT, weights_only=True)["global_step"] == 3
    train_here(job)
    assert (folder / PREDICTIONS).read_bytes() == (finished / PREDICTIONS).read_bytes()


# Training that ends once the online error is low enough


def stopping(target: float | None, **values) -> Recipe:
    return Recipe(epochs=6, batch_size=16, lr=0.01, stop_at=target, **values)


def test_training_ends_after_two_epochs_in_a_row_at_the_target(tiny_job, train_here):
    whole = load(train_here(tiny_job(recipe=stopping(None))))
    assert whole is not None
    errors = [point.train.top1 for point in whole.curve]
    targets = sorted({error for error in errors if 0 < error < 1})
    ends = set()
    for target in targets:
        record = load(train_here(tiny_job(recipe=stopping(target))))
        assert record is not None
        met = [max(pair) <= target for pair in pairwise(errors)]
        last = met.index(True) + 2 if True in met else 6
        ends.add(last)
        assert (record.epochs, record.steps, record.samples) == (last, 3 * last, 48 * last)
        assert [replace(p, seconds=0.0) for p in record.curve] == [
            replace(p, seconds=0.0) for p in whole.curve[:last]
        ]
        assert record.status == "finished"
        assert record.test["ten_view"].count == 23
    assert len(ends) > 1


def test_a_run_that_stopped_early_is_the_short_run(tiny_job, train_here, finished: Path):
    folder = train_here(tiny_job(recipe=stopping(0.99)))
    assert (folder / PREDICTIONS).read_bytes() == (finished / PREDICTIONS).read_bytes()


@pytest.mark.parametrize(
    ("hook", "step"), [("on_train_batch_end", 4), ("on_train_epoch_end", 6), ("on_test_start", 6)]
)
def test_a_run_that_is_interrupted_stops_where_it_would_have(
    hook: str, step: int, tiny_job, train_here, runs_dir: Path, monkeypatch, finished: Path
):
    job = tiny_job(recipe=stopping(0.99))
    folder = runs_dir / job.run.run_id
    with monkeypatch.context() as patch:
        stop_at(patch, hook, step)
        with pytest.raises(SystemExit):
            train_here(job)
    assert load(folder) is None
    record = load(train_here(job))
    assert record is not None
    assert (record.epochs, record.steps) == (2, 6)
    assert (folder / PREDICTIONS).read_bytes() == (finished / PREDICTIONS).read_bytes()


def test_a_run_that_stopped_early_is_only_tested_again(tiny_job, train_here):
    job = tiny_job(recipe=stopping(0.99))
    folder = train_here(job)
    first, predicted = load(folder), (folder / PREDICTIONS).read_bytes()
    (folder / RECORD).unlink()
    second = load(train_here(job))
    assert first is not None
    assert second is not None
    assert (second.curve, second.seconds) == (first.curve, first.seconds)
    assert (second.steps, second.online_loss) == (first.steps, first.online_loss)
    assert (second.train, second.val, second.test) == (first.train, first.val, first.test)
    assert second.neighbors == first.neighbors
    assert (folder / PREDICTIONS).read_bytes() == predicted


# Training without validation images

WHOLE = DataConfig(size=16, crop=12, val_size=0)


@pytest.mark.parametrize("kind", [LoggerKind.none, LoggerKind.csv])
def test_a_run_without_validation_images_trains_on_all_of_them(kind, tiny_job, train_here):
    folder = train_here(tiny_job(data=WHOLE, logger=Logger(kind)))
    record = load(folder)
    assert record is not None
    assert (record.val, [point.val for point in record.curve]) == (None, [None, None])
    assert (record.data.train_images, record.data.val_images, record.data.val_size) == (60, 0, 0)
    assert record.train is not None
    assert record.train.count == 60
    assert {view: scores.count for view, scores in record.test.items()} == {
        "center": 23,
        "ten_view": 23,
    }
    progress = json.loads((folder / "progress.json").read_text())
    assert progress == {"stage": "test", "epochs": 2}


@pytest.mark.parametrize(("hook", "step"), [("on_train_batch_end", 4), ("on_test_start", 6)])
def test_a_run_without_validation_images_continues_bit_by_bit(
    hook: str, step: int, tiny_job, train_here, monkeypatch
):
    folder = train_here(tiny_job(data=WHOLE))
    whole = (folder / PREDICTIONS).read_bytes()
    for path in folder.iterdir():
        path.unlink()
    with monkeypatch.context() as patch:
        stop_at(patch, hook, step)
        with pytest.raises(SystemExit):
            train_here(tiny_job(data=WHOLE))
    train_here(tiny_job(data=WHOLE))
    assert (folder / PREDICTIONS).read_bytes() == whole


def test_a_fast_dev_run_without_validation_images_ends_well(tiny_job, train_here):
    folder = train_here(tiny_job(data=WHOLE, fast_dev_run=True))
    assert not (folder / RECORD).exists()


@pytest.mark.slow
def test_two_processes_without_validation_images(start, tiny):
    command = start(*tiny, "data.val_size=0", "trainer.devices=2").finish()
    assert command.code == 0, command.out + command.err
    record = load(next(Path("runs").glob("*/record.json")).parent)
    assert record is not None
    assert (record.val, record.data.train_images) == (None, 60)
    assert record.test["ten_view"].count == 23


# Runs that start from others


@pytest.fixture
def started(tiny_job, finished: Path):
    """Makes a job that starts from `finished`, a run of ten classes."""

    def started(**changes) -> Job:
        job = tiny_job(pretrained=finished.name, seed=1, **changes)
        return replace(job, weights=str(finished / CHECKPOINT))

    return started


def test_a_run_starts_from_the_weights_of_another(started, train_here, finished: Path, monkeypatch):
    seen = {}

    def keep(self):
        seen.update({name: value.clone() for name, value in self.network.state_dict().items()})

    monkeypatch.setattr(Classifier, "on_fit_start", keep, raising=False)
    record = load(train_here(started()))
    expected = trained_network(finished).state_dict()
    assert seen.keys() == expected.keys()
    assert all(torch.equal(seen[name], expected[name]) for name in seen)
    assert record is not None
    assert record.run.pretrained == finished.name


def test_a_run_that_started_from_another_continues_bit_by_bit(
    started, train_here, runs_dir: Path, monkeypatch
):
    job = started()
    folder = runs_dir / job.run.run_id
    with monkeypatch.context() as patch:
        stop_at(patch, "on_train_batch_end", 4)
        with pytest.raises(SystemExit):
            train_here(job)
    train_here(job)
    resumed = (folder / PREDICTIONS).read_bytes()
    for path in folder.iterdir():
        path.unlink()
    train_here(job)
    assert (folder / PREDICTIONS).read_bytes() == resumed
    train_here(from_scratch := replace(job, run=replace(job.run, pretrained=None), weights=""))
    scratch = runs_dir / from_scratch.run.run_id / PREDICTIONS
    assert scratch.read_bytes() != resumed


def test_the_clock_goes_on_after_an_interruption(tiny_job, train_here, runs_dir, monkeypatch):
    job = tiny_job()
    folder = runs_dir / job.run.run_id
    with monkeypatch.context() as patch:
        stop_at(patch, "on_train_batch_end", 4)
        with pytest.raises(SystemExit):
            train_here(job)
    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
    checkpoint = checkpoint["callbacks"]["History"]
    record = load(train_here(job))
    assert record is not None
    assert record.curve[0].seconds == checkpoint["curve"][0]["seconds"]
    assert record.curve[0].seconds < checkpoint["seconds"] < record.seconds


def test_a_fast_dev_run_leaves_neither_record_nor_checkpoint(tiny_job, train_here):
    folder = train_here(tiny_job(fast_dev_run=True))
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "progress.json"}


def test_an_error_is_passed_on_and_nothing_is_recorded(tiny_job, train_here, runs_dir, monkeypatch):
    def fail(self, batch, batch_idx):
        raise ArithmeticError("injected")

    monkeypatch.setattr(Classifier, "training_step", fail)
    with pytest.raises(ArithmeticError, match="injected"):
        train_here(tiny_job())
    assert not list(runs_dir.glob("*/record.json"))


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
    assert command.code == 0, command.err
    record = load(next(Path("runs").glob("*/record.json")).parent)
    assert record is not None
    assert [point.train.count for point in record.curve] == [48, 48]
    assert record.hardware.devices == 2
    assert record.test["ten_view"].count == 23


def test_ddp_broadcasts_no_buffer_in_a_step(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        strategy = ConstantBuffersDDP(parallel_devices=[torch.device("cpu")])
        module = pl.LightningModule()
        module.norm = torch.nn.BatchNorm2d(2)
        strategy.model = module
        strategy.configure_ddp()
        assert isinstance(strategy.model, torch.nn.parallel.DistributedDataParallel)
        assert not strategy.model.will_sync_module_buffers()
    finally:
        torch.distributed.destroy_process_group()
