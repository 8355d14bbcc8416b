"""Measure the time per image of loading, augmentation, and a training step.

    python -m benchmarks.decoding FOLDER

FOLDER contains JPEG files, also in subfolders. Rows are milliseconds of CPU time per image on one
core, the minimum of several rounds, which reduces the influence of other processes. If there is a
GPU, the last two rows are wall time on the GPU.
"""

import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from ablations import models
from ablations.composition import compose
from ablations.config import Storage
from ablations.data import jpeg
from ablations.data.build import Encoded, encode_images
from ablations.data.images import CheckedPixels, Checksums
from ablations.data.jpeg import JpegImages
from ablations.data.loading import PixelBatches, Share
from ablations.data.sources import Sample
from ablations.techniques.augmentation import color_noise, crop_and_flip, draw, to_input

BATCH, SIZE, CROP, ROUNDS = 128, 256, 224, 5


def cost(step: Callable[[], object], images: int, device: torch.device) -> float:
    """Return milliseconds per image: wall time for a GPU, CPU time otherwise."""
    best = float("inf")
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for _ in range(ROUNDS):
        start = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return best / images * 1e3


def checking(encoded: Encoded, images: JpegImages) -> list[tuple[str, float]]:
    """Return rows for gathering a batch with and without checksum verification."""
    cpu, pixels = torch.device("cpu"), images[:]
    crcs = np.array([zlib.crc32(image.data) for image in pixels], np.uint32)
    values = np.array(encoded.crcs, np.uint32)
    checked = JpegImages(images.content, images.offsets, SIZE, Checksums(values, "", "train"))
    share = Share(*3 * [torch.randperm(len(images))])
    found = []
    for name, stored in (
        ("gather pixels", pixels),
        ("gather pixels and check them", CheckedPixels(pixels, Checksums(crcs, "", "train"))),
        ("gather JPEG", images),
        ("gather JPEG and check it", checked),
    ):
        batches = PixelBatches(stored, np.zeros(len(images), np.int64))
        found.append((name, cost(partial(batches.gather, share), len(images), cpu)))
    return found


def main() -> None:
    """Print the table."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.decoding FOLDER")
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    device = torch.device("cuda") if torch.cuda.is_available() else cpu
    paths = sorted(p for p in Path(sys.argv[1]).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    samples = [Sample(paths[n % len(paths)], str(paths[n % len(paths)])) for n in range(BATCH)]
    encoded = encode_images(samples, SIZE, Storage.jpeg)
    offsets = np.cumsum([0, *encoded.lengths])
    images = JpegImages(np.frombuffer(encoded.content, np.uint8), offsets, SIZE)
    prepare = cost(lambda: encode_images(samples, SIZE, Storage.jpeg), BATCH, cpu)
    found = [("prepare: read, scale, encode (once)", prepare)]
    if fast := jpeg._simplejpeg:
        found.append(("decode with simplejpeg", cost(lambda: images[:], BATCH, cpu)))
        jpeg._simplejpeg = None  # then Pillow decodes
    found.append(("decode with Pillow", cost(lambda: images[:], BATCH, cpu)))
    jpeg._simplejpeg = fast
    found += checking(encoded, images)

    config = compose(["experiment=imagenet"])
    batch = torch.from_numpy(images[:]).to(device)
    augmentation = config.augmentation
    random = torch.Generator().manual_seed(0)
    draws = draw(len(batch), random, size=SIZE, crop=CROP, augmentation=augmentation).to(device)
    mean = torch.full((CROP, CROP, 3), 120.0, device=device)
    axes = torch.eye(3, device=device)
    network = models.build(config.run, 1000).to(device, memory_format=torch.channels_last)
    labels = torch.zeros(len(batch), dtype=torch.int64, device=device)

    def augment() -> torch.Tensor:
        crops = crop_and_flip(batch, draws.top, draws.left, draws.flip, CROP)
        return color_noise(to_input(crops, mean), draws.color, axes, divisor=1.0)

    inputs = augment()

    def train() -> None:
        F.cross_entropy(network(inputs[:few]), labels[:few]).backward()

    few = len(batch) if device.type == "cuda" else 16
    found.append(("crops, reflections, color noise", cost(augment, len(batch), device)))
    found.append(("the network, forward and backward", cost(train, few, device)))

    table = Table("", "ms per image", box=None, pad_edge=False)
    for name, value in found:
        table.add_row(name, f"{value:.3f}")
    console = Console()
    console.print(table)
    mean_kb = np.mean([p.stat().st_size for p in paths]) / 1e3
    stored = len(encoded.content) / len(encoded.lengths) / 1e3
    console.print(f"photographs of {mean_kb:.0f} kB, stored in {stored:.0f} kB; {device}")


if __name__ == "__main__":
    main()
