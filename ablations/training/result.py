"""Write the record of a run, and its predictions of the test images."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import distributed

from ablations.config import NUMERICS, Job
from ablations.data.cpu import cpu_flags
from ablations.data.datamodule import Images
from ablations.files import write_atomically
from ablations.record import PREDICTIONS, VIEWS, Hardware, Record, describe_data, pack
from ablations.techniques.towers import tower_colors
from ablations.training.classifier import Classifier
from ablations.training.environment import device_name, provenance
from ablations.training.history import History
from ablations.training.neighbors import neighbor_agreement


def write_record(
    job: Job,
    folder: Path,
    trainer: pl.Trainer,
    module: Classifier,
    images: Images,
    history: History,
) -> Record | None:
    """Write the record of a finished or diverged run, and the predictions beside it.

    Every rank calls this: predictions are gathered from all of them.

    Args:
        job: The run and its hardware.
        folder: The run's folder.
        trainer: The trainer that has trained and tested ``module``.
        module: The trained module, which has the errors.
        images: The data.
        history: The learning curve, the times, and whether the run diverged.

    Returns:
        The record on rank 0, None on others.

    Raises:
        RuntimeError: There is not exactly one prediction for each test image.
    """
    store, scores, predictions = images.store, {}, {}
    if not history.diverged:
        scores = module.scores()
        predictions = _gather(module.seen, len(store.test_images))
    if not trainer.is_global_zero:
        return None
    colors, neighbors = [], None
    device = trainer.strategy.root_device  # Lightning has moved the module to the CPU
    if predictions:
        _save_predictions(folder, predictions, store.test_labels)
        colors = tower_colors(module.network.get_parameter("conv1.weight").detach().cpu().numpy())
        neighbors = neighbor_agreement(module.to(device).eval(), store, images.train_rows)
    samples = history.curve[-1].samples if history.curve else 0
    record = Record(
        run_id=job.run.run_id,
        numerics=NUMERICS,
        status="diverged" if history.diverged else "finished",
        experiment=job.experiment,
        arm=job.arm,
        seed=job.run.seed,
        differences=job.run.differences,
        evaluation=job.run.techniques.evaluation.value,
        data=describe_data(
            job.run,
            classes=len(store.classes),
            train_images=len(images.train_images),
            val_images=len(images.val_images),
            test_images=len(images.test_images),
            skipped=len(store.skipped),
        ),
        parameters=sum(p.numel() for p in module.network.parameters() if p.requires_grad),
        epochs=len(history.curve),
        steps=trainer.global_step,
        samples=samples,
        train=scores.get("train"),
        val=scores.get("val"),
        test={view: scores[view] for view in VIEWS if view in scores},
        curve=history.curve,
        online_loss=history.online_loss,
        labels=pack(store.test_labels),
        predicted={view: pack(table.argmax(1)) for view, table in predictions.items()},
        colors=colors,
        neighbors=neighbors,
        seconds=history.seconds,
        evaluation_seconds=history.evaluation_seconds,
        images_per_second=samples / history.seconds,
        hardware=Hardware(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            device=device_name(device),
            devices=trainer.world_size,
            threads=torch.get_num_threads(),
            cpu_flags=cpu_flags(),
        ),
        provenance=provenance(),
    )
    record.save(folder)
    return record


def _save_predictions(folder: Path, predictions: dict[str, np.ndarray], labels: np.ndarray) -> None:
    # Rounded to a relative error below 0.8 %, because fewer bits compress better.
    compact = {view: _rounded(table) for view, table in predictions.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, labels=labels.astype(np.uint16), **compact)
    write_atomically(folder / PREDICTIONS, buffer.getvalue())


def _rounded(probabilities: np.ndarray) -> np.ndarray:
    """Round to seven significant bits as float16; values below 2**-14 become 0."""
    bits = probabilities.astype(np.float16).view(np.uint16).astype(np.uint32)
    short = ((bits + 8) & 0xFFF0).astype(np.uint16).view(np.float16)
    return np.where(short < 2.0**-14, np.float16(0), short)


def _gather(seen: list[tuple[torch.Tensor, ...]], images: int) -> dict[str, np.ndarray]:
    """Return the probabilities of all processes by view, in the order of the store.

    Each process tests a contiguous range of the images, in order of the ranks.
    """
    parts = [torch.cat(column).cpu().numpy() for column in zip(*seen, strict=True)]
    if distributed.is_initialized():
        shares: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(shares, parts)
        parts = [np.concatenate(column) for column in zip(*shares, strict=True)]
    if len(parts[0]) != images:
        raise RuntimeError(f"{len(parts[0])} test predictions for {images} images")
    return dict(zip(VIEWS, parts, strict=True))
