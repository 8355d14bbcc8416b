"""Write the table of the fixed networks: parameters, comparison with Keras, and first losses.

    python -m benchmarks.networks [--steps N] [--batch N] [--seconds S] [--networks NAME,...]
        [--write] [data.source=huggingface 'data.train=[FILE]' 'data.test=[FILE]' ...]

Each network trains on CIFAR-10 with the recipe of its experiment, in small batches, up to the limit
of steps or seconds. Images are stored at 32 pixels and resized in each batch, without augmentation.
The loss is that of the training forward pass, with dropout. The Keras columns require
``pip install -e '.[keras]'`` and are empty without it.
"""

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F

from ablations.composition import compose
from ablations.config import Config, Model, Storage
from ablations.data.store import Store, prepare
from ablations.models import MODELS, build, construct
from ablations.training.optimizer import build_optimizer
from benchmarks.table import into

PAGE = Path(__file__).resolve().parents[1] / "docs/networks.md"
SOURCE = 32  # size of the stored images, in pixels
# For each network: number of classes in the source, and number of parameters stated or implied by
# the source, including running statistics.
CASES = {
    Model.keras_batchnorm: (1000, 62_383_848),
    Model.keras_functional: (10, 46_793_482),
    Model.keras_resized: (10, 58_324_746),
    Model.torch_style: (1000, 60_965_224),
    Model.two_branch: (1000, 60_965_224),
    Model.half_tower_v1: (1000, 16_630_440),
    Model.half_tower_v2: (1000, 5_925_672),
    Model.lenet5: (10, 60_850),
}


def count(config: Config, classes: int) -> int:
    """Return the number of parameters and running statistics of a network."""
    with torch.device("meta"):
        network = construct(config.run, classes)
    statistics = [buffer.numel() for name, buffer in network.named_buffers() if "running" in name]
    return sum(statistics) + sum(parameter.numel() for parameter in network.parameters())


def batches(config: Config, store: Store, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches of resized training images (minus the mean image) and labels, without end."""
    generator = torch.Generator().manual_seed(config.seed)
    crop = config.data.crop
    raw = MODELS[config.model].raw_pixels
    average = torch.zeros(1) if raw else torch.tensor(store.mean_image)
    while True:
        rows = torch.randint(len(store.train_labels), (size,), generator=generator).sort().values
        pixels = torch.tensor(store.train_images[rows.numpy()]).float() - average
        images = pixels.permute(0, 3, 1, 2)
        if crop != SOURCE:
            images = F.interpolate(images, (crop, crop), mode="bilinear", align_corners=False)
        yield images, torch.tensor(store.train_labels[rows.numpy()])


def losses(config: Config, store: Store, steps: int, size: int, seconds: float) -> list[float]:
    """Return the training loss of each step; the last may be NaN or infinite."""
    network = build(config.run, len(store.classes)).train()
    network = network.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(network, config.recipe, bias_lr_mult=1.0)
    end = time.monotonic() + seconds
    found: list[float] = []
    torch.manual_seed(config.seed)  # dropout
    for images, labels in batches(config, store, size):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
        if len(found) == steps or time.monotonic() > end or not math.isfinite(found[-1]):
            break
    return found


def keras(network: Model) -> tuple[str, str]:
    """Return the Keras columns: number of parameters and output difference, or dashes."""
    if find_spec("tensorflow") is None:
        return "-", "-"
    # In a separate process, because the LLVM libraries of torch and TensorFlow conflict.
    command = (sys.executable, "-m", "benchmarks.keras_forward", network.value)
    done = subprocess.run(command, capture_output=True, text=True)
    cells = [line.split() for line in done.stdout.splitlines() if line.startswith(network.value)]
    if done.returncode or not cells:
        raise SystemExit(f"benchmarks.keras_forward {network.value} failed: {done.stderr[-2000:]}")
    return cells[0][3], cells[0][6]


def row(config: Config, store: Store, options: argparse.Namespace) -> list[str]:
    """Return the table row of a network."""
    classes, stated = CASES[config.model]
    theirs, difference = keras(config.model)
    curve = losses(config, store, options.steps, options.batch, options.seconds)
    end = max(1, len(curve) // 5)
    return [
        config.model.value,
        f"{stated:,}",
        f"{count(config, classes):,}",
        theirs,
        difference,
        f"{config.recipe.lr:g}",
        str(len(curve)),
        f"{mean(curve[:end]):.2f}",
        f"{mean(curve[-end:]):.2f}",
    ]


HEADINGS = (
    *("network", "stated", "ours", "Keras", "difference"),
    *("rate", "steps", "first loss", "last loss"),
)


def table(rows: list[list[str]], options: argparse.Namespace, data: str) -> str:
    """Return the table of docs/networks.md and the command that measured it."""
    lines = [
        "| " + " | ".join(HEADINGS) + " |",
        "|---|" + "--:|" * (len(HEADINGS) - 1),
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
        f"{data}, {options.batch} images per step, at most {options.seconds:g} seconds per "
        "network:",
        f"`python -m benchmarks.networks --batch {options.batch} --seconds {options.seconds:g} "
        f"--steps {options.steps}`.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the fixed networks on 32-pixel images.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0, help="limit for each network")
    parser.add_argument("--networks", default=",".join(network.value for network in CASES))
    parser.add_argument("--write", action="store_true", help="write the table to docs/networks.md")
    options, overrides = parser.parse_known_args()
    rows = []
    name = "CIFAR-10"
    for network in options.networks.split(","):
        config = compose([f"experiment={network}", *overrides])
        data = replace(config.data, size=SOURCE, crop=SOURCE, storage=Storage.raw)
        store = prepare(data, Path(config.cache) if config.cache else None)
        name = config.data.name or store.name
        rows.append(row(config, store, options))
        print(" | ".join(rows[-1]), flush=True)
    if options.write:
        PAGE.write_text(into(PAGE.read_text(), table(rows, options, name), "networks"))


if __name__ == "__main__":
    main()
