"""Training through the suite beside a bare torch loop of the same network, in one process.

    python -m benchmarks.training setting=cifar10 network=cifar_conv --rounds 3

The two take turns, so that a machine whose speed drifts slows both. The bare loop holds the images
in memory, draws the same crops and flips, steps the same optimizer, and does nothing else: no
Lightning, no metrics, no validation, no checkpoints.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from ablations import networks
from ablations.config import Config, Job
from ablations.data.loading import EpochBatches, PixelBatches
from ablations.data.store import Store, prepare
from ablations.door import compose
from ablations.optimizer import build_optimizer
from ablations.record import load
from ablations.streams import derive, generator
from ablations.techniques.augmentation import (
    color_axes,
    color_noise,
    colors,
    crop_and_flip,
    draw,
    to_input,
)
from ablations.techniques.edition import details
from ablations.techniques.evaluation import center_crop
from ablations.train import train


def suite(config: Config, store: Store, accelerator: str) -> float:
    """Train one run through the suite; images per second of its training passes."""
    job = Job(
        run=replace(config.run, fingerprint=store.fingerprint),
        setting=config.setting,
        arm="benchmark",
        label="benchmark",
        trainer=config.trainer,
        logger=config.logger,
        store=str(store.path),
    )
    with tempfile.TemporaryDirectory() as folder:
        train(job, Path(folder), accelerator)
        record = load(Path(folder))
    assert record is not None
    return record.images_per_second


def bare(config: Config, store: Store, device: torch.device) -> float:
    """Train as many epochs in a bare loop; images per second."""
    run = config.run
    rows, _ = store.split(run.dataset.train_limit, run.dataset.val_size)
    network = networks.build(run, len(store.classes)).to(device)
    edition = details(run.techniques.edition)
    optimizer = build_optimizer(network, run.recipe, edition.bias_rate)
    images = PixelBatches(store.train_images, store.train_labels, rows)
    images.to(device)
    stream = derive(run.seed, "stream", run.stream)
    batches = EpochBatches(len(rows), run.recipe.batch_size, stream)
    mean = center_crop(torch.tensor(store.mean_image)[None], run.dataset.crop)[0].to(device)
    covariance = (store.color_basis * store.color_std**2) @ store.color_basis.T
    axes = color_axes(torch.tensor(covariance), power=edition.color_power).to(device)
    began = time.perf_counter()
    for epoch in range(run.recipe.epochs):
        batches.set_epoch(epoch)
        draws = draw(
            len(rows),
            generator(stream, "augmentation", epoch),
            size=run.dataset.size,
            crop=run.dataset.crop,
            augmentation=run.techniques.augmentation,
        ).to(device)
        for share in batches:
            batch = images.__getitems__(share)
            draw_ = draws[batch.positions]
            crops = crop_and_flip(batch.images, draw_.top, draw_.left, draw_.flip, run.dataset.crop)
            inputs = to_input(crops, mean)
            if colors(run.techniques.augmentation):
                inputs = color_noise(inputs, draw_.color, axes, divisor=edition.color_divisor)
            loss = F.cross_entropy(network(inputs), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return run.recipe.epochs * len(batches) * run.recipe.batch_size / (time.perf_counter() - began)


def main() -> None:
    """Alternate the two and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="as for ablations/run.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = compose([*options.overrides, "logger=none"])
    store = prepare(config.dataset)
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    device = torch.device("cuda" if accelerator == "gpu" else "cpu")
    rates: dict[str, list[float]] = {"suite": [], "bare": []}
    for round_ in range(options.rounds + 1):
        ours, theirs = suite(config, store, accelerator), bare(config, store, device)
        if round_:  # the first one warms up
            rates["suite"].append(ours)
            rates["bare"].append(theirs)
    ratios = [a / b for a, b in zip(rates["suite"], rates["bare"], strict=True)]
    for name, values in rates.items():
        print(f"{name:<6} {statistics.median(values):10,.0f} images/s (of {len(values)} rounds)")
    print(f"ratio  {statistics.median(ratios):10.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    if options.json:
        figures = {"overrides": options.overrides, **rates, "ratios": ratios}
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
