"""The LightningModule: inputs, loss, update and errors of one run."""

import math
import time
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from ablations.config import Run
from ablations.data.loading import Batch
from ablations.data.store import Store
from ablations.metrics import ErrorRates, WindowedLoss
from ablations.networks import RAW_PIXELS
from ablations.optimizer import RateSchedule, build_optimizer
from ablations.record import CurvePoint, OnlineLoss, Scores
from ablations.streams import derive, generator
from ablations.techniques.augmentation import (
    color_axes,
    color_noise,
    colors,
    crop_and_flip,
    draw,
    to_input,
)
from ablations.techniques.dropout import SeededDropout
from ablations.techniques.edition import details
from ablations.techniques.evaluation import (
    CENTER_VIEW,
    average_cross_entropy,
    average_probabilities,
    center_crop,
    ten_views,
)

# A loss this many times that of guessing has exploded, though the numbers may stay finite a while.
EXPLODED = 100.0
# Training steps whose errors are counted together: a dozen small operations and torchmetrics' own
# cost are 1.5 % of a step of `cifar_conv`.
COUNTED = 32

# What a test measures: the errors of a loader each, and ten views of the images of the last.
TESTED = ("train", "val", "center", "ten_view")


class Classifier(pl.LightningModule):
    """Trains and evaluates ``network`` as ``run`` says.

    Every random draw belongs to (seed, epoch, position of the image in the epoch), so that neither
    the number of processes nor an interruption changes one.

    Args:
        run: The run.
        network: The network, initialized.
        store: The prepared data.
        images: Number of training images in an epoch.
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, run: Run, network: nn.Module, store: Store, images: int) -> None:
        super().__init__()
        self.run = run
        self.network = network
        self.images = images
        self.steps = images // run.recipe.batch_size
        self.details = details(run.techniques.edition)
        self.exploded = EXPLODED * math.log(len(store.classes))
        self.register_buffer("mean", input_mean(run, store), persistent=False)
        covariance = (store.color_basis * store.color_std**2) @ store.color_basis.T
        axes = color_axes(torch.tensor(covariance), power=self.details.color_power)
        self.register_buffer("axes", axes, persistent=False)
        self.dropouts = [layer for layer in network.modules() if isinstance(layer, SeededDropout)]
        self.stream = derive(run.seed, "stream", run.replicate)
        self.schedule = RateSchedule(run.recipe)
        self.online, self.validation = ErrorRates(), ErrorRates()
        self.windowed = WindowedLoss(self.steps * run.recipe.epochs)
        self.uncounted: list[tuple[Tensor, Tensor, Tensor]] = []
        self.counted = 0
        self.curve: list[CurvePoint] = []
        self.seconds = 0.0
        self.evaluation_seconds = 0.0
        self.resumed_at: float | None = None
        self.online_loss = OnlineLoss()
        self.diverged = False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.network, self.run.recipe, self.details.bias_lr_mult)

    # Training

    def on_train_start(self) -> None:
        # Lightning calls the hook below for no epoch that an interrupted run continues within.
        self._begin_epoch()

    def on_train_epoch_start(self) -> None:
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        draws = draw(
            self.images,
            generator(self.stream, "augmentation", self.current_epoch),
            size=self.run.data.size,
            crop=self.run.data.crop,
            augmentation=self.run.techniques.augmentation,
        )
        self.draws = draws.to(self.device)
        self.start_clock()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._set_rate(self.current_epoch + batch_idx / self.steps)
        draws = self.draws[batch.positions]
        images = crop_and_flip(batch.images, draws.top, draws.left, draws.flip, self.run.data.crop)
        inputs = to_input(images, self.mean)
        if colors(self.run.techniques.augmentation):
            inputs = color_noise(inputs, draws.color, self.axes, divisor=self.details.color_divisor)
        for index, layer in enumerate(self.dropouts):
            key = derive(self.stream, "dropout", index, self.current_epoch, batch_idx)
            layer.draw(key, batch.rows)
        logits = self.network(inputs)
        losses = F.cross_entropy(logits, batch.labels, reduction="none")
        self.uncounted.append((logits.detach(), batch.labels, losses.detach()))
        if len(self.uncounted) == COUNTED:
            self._count()
        # Processes average their gradients, and their shares of a batch may differ by an image.
        return losses.sum() * (self.trainer.world_size / self.run.recipe.batch_size)

    def _count(self) -> None:
        """Count the errors of the steps since the last call."""
        if not self.uncounted:
            return
        logits, labels, losses = zip(*self.uncounted, strict=True)
        self.online.update(torch.cat(logits), torch.cat(labels), torch.cat(losses))
        sums = torch.stack(losses).sum(1, dtype=torch.float64)
        self.windowed.update(self.counted, sums, len(losses[0]))
        self.counted += len(losses)
        self.uncounted.clear()

    def _set_rate(self, epochs: float) -> None:
        factor = self.schedule.factor(epochs)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.run.recipe.lr * group["rate"] * factor
        self.lr = self.run.recipe.lr * factor

    def on_validation_start(self) -> None:
        self.stop_clock()
        self.evaluated_at = time.perf_counter()

    def on_validation_end(self) -> None:
        self.evaluation_seconds += time.perf_counter() - self.evaluated_at

    def on_validation_epoch_start(self) -> None:
        self.validation.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, self.validation)

    def on_train_epoch_end(self) -> None:
        """Add a point to the learning curve; stop when the loss diverges or the target is met."""
        self.stop_clock()
        self._count()
        train = self.online.scores()
        self.online.reset()
        val = self.validation.scores() if self.run.data.val_size else None
        # The last step may break a network whose online loss was still finite.
        self.diverged = train.loss is None or train.loss >= self.exploded
        self.diverged |= val is not None and val.loss is None
        if self.diverged:
            self.trainer.should_stop = True
            return
        epochs = self.current_epoch + 1
        point = CurvePoint(
            epoch=epochs,
            samples=epochs * self.steps * self.run.recipe.batch_size,
            seconds=self.seconds,
            lr=self.lr,
            train=train,
            val=val,
        )
        self.curve.append(point)
        if val is not None:
            self.schedule.observe(val.top1)
        self.online_loss = self.windowed.curve()
        self.trainer.should_stop = self._met_target()
        for logger in self.loggers:
            logger.log_metrics(curve_metrics(point), step=epochs)

    def _met_target(self) -> bool:
        """Whether the online training error was at or below ``recipe.stop_at`` twice in a row."""
        stop_at, last = self.run.recipe.stop_at, self.curve[-2:]
        return stop_at is not None and len(last) == 2 and all(p.train.top1 <= stop_at for p in last)

    def start_clock(self) -> None:
        """Begin to count training time."""
        self.resumed_at = time.perf_counter()

    def stop_clock(self) -> None:
        """Add the time since the clock was started to the training time, if it runs."""
        if self.resumed_at is None:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # steps that are queued are training as well
        self.seconds += time.perf_counter() - self.resumed_at
        self.resumed_at = None

    # Evaluation of the trained network

    def on_test_start(self) -> None:
        """Open a tally for each loader: training images, validation images, test images."""
        # In a list and no submodules: Lightning moves the module to the host after a test, where
        # NCCL could not sum them any more.
        names = [name for name in TESTED if name != "val" or self.run.data.val_size]
        self.tested = {name: ErrorRates().to(self.device) for name in names}
        self.loaders = names[:-1]
        self.evaluated_at = time.perf_counter()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int) -> None:
        name = self.loaders[dataloader_idx]
        if name != "center":
            self._evaluate(batch, self.tested[name])
            return
        views = ten_views(batch.images, self.run.data.crop)
        logits = self.network(to_input(views.flatten(0, 1), self.mean)).float()
        logits = logits.view(*views.shape[:2], -1)
        center = logits[:, CENTER_VIEW]
        losses = F.cross_entropy(center, batch.labels, reduction="none")
        self.tested[name].update(center, batch.labels, losses)
        probabilities = average_probabilities(logits)
        losses = average_cross_entropy(logits, batch.labels)
        self.tested["ten_view"].update(probabilities, batch.labels, losses)
        self.seen.append((batch.positions, center.softmax(1), probabilities))

    def on_test_end(self) -> None:
        self.evaluation_seconds += time.perf_counter() - self.evaluated_at

    def _evaluate(self, batch: Batch, tally: ErrorRates) -> None:
        images = center_crop(batch.images, self.run.data.crop)
        logits = self.network(to_input(images, self.mean))
        tally.update(logits, batch.labels, F.cross_entropy(logits, batch.labels, reduction="none"))

    def scores(self) -> dict[str, Scores]:
        """Errors after :meth:`Trainer.test`: ``train``, ``val``, ``center`` and ``ten_view``.

        ``val`` is missing where there are no validation images.
        """
        return {name: tally.scores() for name, tally in self.tested.items()}

    # Exact continuation

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what Lightning does not: the curve, the clock, the schedule, the open tally."""
        self._count()
        tallies = {}
        for name in ("online", "windowed"):
            metric = getattr(self, name)
            with metric.sync_context():  # every process takes part
                tallies[name] = {key: torch.clone(v) for key, v in metric.metric_state.items()}
        done: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        checkpoint["ablations"] = {
            "curve": [asdict(point) for point in self.curve],
            "seconds": self.seconds,
            "evaluation_seconds": self.evaluation_seconds,
            "schedule": self.schedule.state_dict(),
            "tallies": tallies,
            "counted": self.counted,
            "threads": torch.get_num_threads(),
            "online_loss": asdict(self.online_loss),
            "batches": done.processed % self.steps,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["ablations"]
        # Results depend on the number, in the order of sums: whatever is asked for now.
        torch.set_num_threads(state["threads"])
        self.curve = [_POINT.validate_python(point) for point in state["curve"]]
        self.counted = state["counted"]
        self.online_loss = OnlineLoss(**state["online_loss"])
        self.trainer.should_stop = self._met_target()
        self.seconds = state["seconds"]
        self.evaluation_seconds = state["evaluation_seconds"]
        self.schedule.load_state_dict(state["schedule"])
        images: Any = self.trainer.datamodule  # pyright: ignore
        images.batches.skip(state["batches"])
        if self.global_rank == 0:  # the tallies are sums over all processes
            for name, tally in state["tallies"].items():
                for key, value in tally.items():
                    setattr(getattr(self, name), key, value.to(self.device))


_POINT = TypeAdapter(CurvePoint)


def input_mean(run: Run, store: Store) -> Tensor:
    """What is subtracted from the pixels of a crop, shape (crop, crop, 3), on the scale 0 to 255.

    The mean training image (§2), or nothing where the network's source feeds it raw pixels.
    """
    mean = center_crop(torch.tensor(store.mean_image)[None], run.data.crop)[0]
    return torch.zeros_like(mean) if run.model in RAW_PIXELS else mean


def curve_metrics(point: CurvePoint) -> dict[str, float]:
    """Flatten a point of the curve to the names that loggers show."""
    metrics = {
        "epoch": point.epoch,
        "samples": point.samples,
        "seconds": point.seconds,
        "lr": point.lr,
    }
    for split, scores in (("train", point.train), ("val", point.val)):
        if scores is not None:
            metrics |= score_metrics(split, scores)
    return metrics


def score_metrics(prefix: str, scores: Scores) -> dict[str, float]:
    """Flatten the errors of one split: ``val/top1_error`` and the like."""
    metrics = {f"{prefix}/top1_error": scores.top1, f"{prefix}/top5_error": scores.top5}
    return metrics if scores.loss is None else {**metrics, f"{prefix}/loss": scores.loss}
