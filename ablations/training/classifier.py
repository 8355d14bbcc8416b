"""The LightningModule of a run: inputs, loss, optimizer and error rates."""

import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics import Metric

from ablations import models
from ablations.config import ConfigError, Run
from ablations.data.loading import Batch, channels_last
from ablations.data.store import Store
from ablations.metrics import ErrorRates, WindowedLoss
from ablations.record import Scores
from ablations.rng import derive, generator
from ablations.techniques.augmentation import (
    Draws,
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
from ablations.training.optimizer import RateSchedule, build_optimizer

# A loss this many times the chance-level loss counts as diverged, even if it is still finite.
EXPLODED = 100.0


class Classifier(pl.LightningModule):
    """Trains and evaluates the network of a run.

    A batch is a pair of images and labels, or a :class:`~ablations.data.loading.Batch`, which also
    has the position of each image in the epoch. Random draws are functions of (seed, epoch,
    position), and thus independent of the number of processes and of interruptions; without
    positions, they are functions of (seed, epoch, batch, process, row).

    A stock :class:`pl.Trainer` can train it with any loader of pixels and labels. ``mean`` and
    ``axes`` are zero (no mean is subtracted, no color noise added) until they are filled, as
    :meth:`of_store` and loading a checkpoint do. Sums are in float64, which Apple GPUs do not
    support: pass ``accelerator="cpu"`` there.

    Attributes:
        mean: Mean to subtract from a crop, shape (crop, crop, 3), on the scale 0 to 255.
        axes: Scaled principal components of the colors (§4.1), shape (3, 3).

    Args:
        run: The run, or its nested plain values, see :meth:`ablations.config.Run.to_dict`.
        classes: Number of classes.
        images: Number of training images in an epoch; determines the steps of the schedule.
        names: Class names, stored in checkpoints for users of the network; empty if unknown.
    """

    mean: Tensor
    axes: Tensor

    def __init__(
        self, run: Run | dict[str, Any], classes: int, images: int, names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        # Plain values, because checkpoints store them.
        run = run.to_dict() if isinstance(run, Run) else run
        names = list(names)
        self.save_hyperparameters(logger=False)
        self.run = Run.from_dict(run)
        self.classes, self.images = classes, images
        self.steps = images // self.run.recipe.batch_size
        self.network = models.build(self.run, classes)
        self.details = details(self.run.techniques.edition)
        self.dropouts = [m for m in self.network.modules() if isinstance(m, SeededDropout)]
        self.stream = derive(self.run.seed, "stream", self.run.replicate)
        # Buffers, so that checkpoints include what depends on the data.
        crop = self.run.data.crop
        self.register_buffer("mean", torch.zeros(crop, crop, 3))
        self.register_buffer("axes", torch.zeros(3, 3))
        self.train_errors, self.val_errors = ErrorRates(), ErrorRates()
        self.online_loss = WindowedLoss(self.steps * self.run.recipe.epochs)

    @classmethod
    def of_store(cls, run: Run, store: Store, images: int) -> "Classifier":
        """Build the module for prepared data, with their mean and color axes.

        Args:
            run: The run.
            store: The prepared data.
            images: Number of training images in an epoch.
        """
        module = cls(run, len(store.classes), images, store.classes)
        module.mean.copy_(input_mean(run, store))
        covariance = (store.color_basis * store.color_std**2) @ store.color_basis.T
        power = module.details.color_power
        module.axes.copy_(color_axes(torch.tensor(covariance), power=power))
        return module

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the center view of images.

        Args:
            images: Shape (N, S, S, 3) or (N, 3, S, S), uint8; S is at least the crop.

        Returns:
            Logits, shape (N, classes).
        """
        return self.network(self.inputs(channels_last(images)))

    def inputs(self, images: Tensor) -> Tensor:
        """Return the network's inputs for the center view of images, shape (N, S, S, 3)."""
        return to_input(center_crop(images, self.run.data.crop), self.mean)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Augment and classify a batch; return its share of the mean loss of the global batch."""
        images, labels, draws, rows, share = self._unpack(batch, batch_idx)
        inputs = self.augment(images, draws)
        for index, layer in enumerate(self.dropouts):
            layer.seed(derive(self.stream, "dropout", index, self.current_epoch, batch_idx), rows)
        logits = self.network(inputs)
        losses = F.cross_entropy(logits, labels, reduction="none")
        self.train_errors.update(logits.detach(), labels, losses.detach())
        self.online_loss.update(self.current_epoch * self.steps + batch_idx, losses.detach())
        return losses.sum() * share

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(batch, self.val_errors)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate ten views of test images, and one view of training and validation images."""
        split = self.splits[dataloader_idx]
        if split != "center":
            self._evaluate(batch, self.test_errors[split])
            return
        images, labels, *_ = batch
        views = ten_views(channels_last(images), self.run.data.crop)
        logits = self.network(to_input(views.flatten(0, 1), self.mean)).float()
        logits = logits.view(*views.shape[:2], -1)
        center, average = logits[:, CENTER_VIEW], average_probabilities(logits)
        losses = F.cross_entropy(center, labels, reduction="none")
        self.test_errors["center"].update(center, labels, losses)
        losses = average_cross_entropy(logits, labels)
        self.test_errors["ten_view"].update(average, labels, losses)
        if isinstance(batch, Batch):
            self.seen.append((center.softmax(1), average))

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Return the class probabilities of the center view, shape (N, classes)."""
        images = batch if isinstance(batch, Tensor) else batch[0]
        return self(images).float().softmax(1)

    def _evaluate(self, batch: Any, errors: ErrorRates) -> None:
        images, labels, *_ = batch
        logits = self(images)
        errors.update(logits, labels, F.cross_entropy(logits, labels, reduction="none"))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        recipe = self.run.recipe
        optimizer = build_optimizer(self.network, recipe, self.details.bias_lr_mult)
        schedule = RateSchedule(optimizer, recipe, self.steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    # Each epoch

    def on_train_start(self) -> None:
        """Reset the metrics, except on rank 0 of a resumed run; warn if the data do not fit.

        A checkpoint has the sums over all processes, see :meth:`on_save_checkpoint`.
        """
        if self.trainer.global_step == 0 or self.global_rank > 0:
            for metric in self._metrics().values():
                metric.reset()
        if colors(self.run.techniques.augmentation) and not self.axes.any():
            rank_zero_warn(
                "`axes` is zero, so no color noise is added; next step: build the module with "
                "Classifier.of_store, or fill `mean` and `axes`"
            )
        batches = self.trainer.num_training_batches
        if not self.trainer.fast_dev_run and batches != self.steps:  # pyright: ignore
            rank_zero_warn(
                f"images={self.images}: the schedule and the online loss assume {self.steps} "
                f"batches of {self.run.recipe.batch_size} per epoch, but the loader has {batches}"
            )

    def on_train_epoch_start(self) -> None:  # not called if a run resumes within an epoch
        self.train_errors.reset()
        self.val_errors.reset()

    def on_train_epoch_end(self) -> None:
        """Log the errors of the epoch, and pass the validation error to the schedule."""
        if self.diverged:  # for callbacks, not for loggers
            log_exactly(self, {"train/loss": math.nan}, logger=False)
            return
        log_exactly(self, score_metrics("train", self.train_errors.scores()))
        if val := self.val_scores:
            log_exactly(self, score_metrics("val", val))
            schedule: Any = self.lr_schedulers()
            schedule.observe(val.top1)

    @property
    def diverged(self) -> bool:
        """Whether the loss of the last epoch is not finite, or exploded in training.

        Every process must read this, because the metrics are synchronized. The validation loss
        counts because the last step may break a network whose online loss is finite.
        """
        train, val = self.train_errors.scores(), self.val_scores
        limit = EXPLODED * math.log(self.classes)
        broken = train.loss is None or train.loss >= limit
        return broken or (val is not None and val.loss is None)

    @property
    def val_scores(self) -> Scores | None:
        """Validation errors of this epoch; None if it is not validated."""
        return self.val_errors.scores() if self.val_errors.update_called else None

    def on_validation_epoch_start(self) -> None:
        self.val_errors.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the errors for callbacks; loggers get them here only if called by ``validate``."""
        metrics = score_metrics("val", self.val_errors.scores())
        log_exactly(self, metrics, logger=self.trainer.state.fn == "validate")

    def on_test_start(self) -> None:
        """Create the error rates of each loader; a loader of a user has test images."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        self.splits = getattr(datamodule, "test_splits", ["center"])
        # In a dictionary, not as submodules, because Lightning moves the module to the CPU after a
        # test, where NCCL cannot sum them.
        names = [*self.splits, "ten_view"]
        self.test_errors = {name: ErrorRates().to(self.device) for name in names}
        self.seen: list[tuple[Tensor, Tensor]] = []  # center view, average of ten

    def on_test_epoch_end(self) -> None:
        # The loggers of a run get the errors from its record.
        for name, scores in self.scores().items():
            log_exactly(self, score_metrics(f"test/{name}", scores), logger=not self.seen)

    def scores(self) -> dict[str, Scores]:
        """Return the errors after :meth:`Trainer.test`.

        The keys are ``train``, ``val`` if there are validation images, ``center`` and ``ten_view``.
        """
        return {name: errors.scores() for name, errors in self.test_errors.items()}

    # Inputs of a batch

    def _unpack(self, batch: Any, batch_idx: int) -> tuple[Tensor, Tensor, Draws, Tensor, float]:
        """Return images, labels, draws, rows of the global batch, and loss weight per image."""
        if isinstance(batch, Batch):
            draws = self._epoch_draws()[batch.positions]
            # DDP averages the gradients of processes, whose shares may differ by an image.
            share = self.trainer.world_size / self.run.recipe.batch_size
            return batch.images, batch.labels, draws, batch.rows, share
        images, labels, *_ = batch
        images = channels_last(images)
        if (size := images.shape[1]) != self.run.data.size:
            raise ConfigError(
                f"data.size={self.run.data.size}: the images have {size} pixels; next step: scale "
                f"them, or set data.size={size}"
            )
        names = self.current_epoch, batch_idx, self.global_rank
        draws = self._draw(len(labels), *names).to(self.device)
        rows = torch.arange(len(labels), device=self.device) + self.global_rank * len(labels)
        return images, labels, draws, rows, 1 / len(labels)

    def _epoch_draws(self) -> Draws:
        if getattr(self, "_drawn", None) != self.current_epoch:
            self._drawn = self.current_epoch
            self._draws = self._draw(self.images, self.current_epoch).to(self.device)
        return self._draws

    def _draw(self, count: int, *names: int) -> Draws:
        return draw(
            count,
            generator(self.stream, "augmentation", *names),
            size=self.run.data.size,
            crop=self.run.data.crop,
            augmentation=self.run.techniques.augmentation,
        )

    def augment(self, images: Tensor, draws: Draws) -> Tensor:
        """Return the network's inputs for images of shape (N, S, S, 3), uint8."""
        crops = crop_and_flip(images, draws.top, draws.left, draws.flip, self.run.data.crop)
        inputs = to_input(crops, self.mean)
        if not colors(self.run.techniques.augmentation):
            return inputs
        return color_noise(inputs, draws.color, self.axes, divisor=self.details.color_divisor)

    # Exact resumption

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the sums over all processes to the checkpoint, which rank 0 writes."""
        for name, metric in self._metrics().items():
            with metric.sync_context():  # every process takes part
                checkpoint["state_dict"] |= metric.state_dict(prefix=f"{name}.")

    def _metrics(self) -> dict[str, Metric]:
        """Return the metrics that checkpoints include, by name."""
        return {name: part for name, part in self.named_children() if isinstance(part, Metric)}


def log_exactly(module: pl.LightningModule, values: dict[str, float], **options: Any) -> None:
    """Log numbers that are equal on all processes, in float64."""
    exact = {name: torch.tensor(x, dtype=torch.float64) for name, x in values.items()}
    module.log_dict(exact, sync_dist=True, **options)


def input_mean(run: Run, store: Store) -> Tensor:
    """Return the mean to subtract from a crop, shape (crop, crop, 3), on the scale 0 to 255.

    It is the mean training image (§2), or zero for networks whose source uses raw pixels.
    """
    mean = center_crop(torch.tensor(store.mean_image)[None], run.data.crop)[0]
    return torch.zeros_like(mean) if models.MODELS[run.model].raw_pixels else mean


def score_metrics(prefix: str, scores: Scores) -> dict[str, float]:
    """Return the errors of one split by metric name, such as ``val/top1_error``."""
    metrics = {f"{prefix}/top1_error": scores.top1, f"{prefix}/top5_error": scores.top5}
    return metrics if scores.loss is None else {**metrics, f"{prefix}/loss": scores.loss}
