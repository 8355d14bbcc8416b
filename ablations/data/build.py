"""Decode a source into the arrays of a store.

Images are written one after the other rather than into a memory map: a full disk is then an error
that can be told, where a memory map would kill the process.
"""

import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ablations.config import ConfigError, Dataset
from ablations.data.decode import Decoded, decode_chunk
from ablations.data.sources import Images, Report, Sample, Split

CHUNK_BYTES = 2**22  # decoded pixels that a thread handles at a time


def build(images: Images, folder: Path, dataset: Dataset, report: Report) -> None:
    """Write arrays and manifest of a store into an empty folder; the manifest comes last.

    Raises:
        ConfigError: An image cannot be decoded, a split is empty, or the disk is too small.
        OSError: The folder cannot be written.
    """
    _require_space(images, folder, dataset.size)
    moments = Moments(dataset.size)
    arrays: dict[str, Any] = {}
    skipped: list[str] = []
    for name, split in (("train", images.train), ("test", images.test)):
        kept, broken, arrays[f"{name}_images"] = _write_images(
            folder / f"{name}_images.npy",
            name,
            split,
            dataset,
            report,
            moments if name == "train" else None,
        )
        if not kept:
            raise ConfigError(
                f"dataset.source={dataset.source.value}: no {name} images ({len(broken)} broken); "
                "next step: check the files"
            )
        arrays[f"{name}_labels"] = _save(folder / f"{name}_labels.npy", split.labels[kept])
        skipped += broken
    fingerprint = hashlib.sha256(json.dumps(arrays, sort_keys=True).encode()).hexdigest()
    arrays["mean_image"] = _save(folder / "mean_image.npy", moments.mean_image())
    color_std, color_basis = moments.principal_colors()
    manifest = {
        "source": dataset.source.value,
        "files": [*dataset.train, *dataset.test] or dataset.root,
        "classes": images.classes,
        "skipped": skipped,
        "color_std": color_std.tolist(),
        "color_basis": color_basis.tolist(),
        "fingerprint": fingerprint,
        "arrays": arrays,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    train, test = (arrays[f"{name}_labels"]["shape"][0] for name in ("train", "test"))
    left_out = f", {len(skipped)} broken ones left out" if skipped else ""
    report(f"decoded {train:,} training and {test:,} test images{left_out}")


class Moments:
    """Sums over the training pixels; sums of whole numbers, so exact in any order.

    Args:
        size: Height and width of the images, in pixels.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.total = np.zeros((size, size, 3), np.int64)
        self.products = np.zeros((3, 3))

    def add(self, pixels: np.ndarray) -> None:
        """Count images in, shape (N, S, S, 3), uint8."""
        self.count += len(pixels)
        self.total += pixels.sum(axis=0, dtype=np.int64)
        flat = pixels.reshape(-1, 3).astype(np.float64)
        self.products += flat.T @ flat

    def mean_image(self) -> np.ndarray:
        """Mean of each pixel over the images (§2), shape (S, S, 3), float32, 0 to 255."""
        return (self.total / self.count).astype(np.float32)

    def principal_colors(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal components of the RGB values of all pixels (§4.1).

        Returns:
            Standard deviations on the scale 0 to 255, shape (3,), largest first, and unit
            eigenvectors as columns, shape (3, 3); the largest entry of each is positive.
        """
        height, width, _ = self.total.shape
        pixels = self.count * height * width
        mean = self.total.sum((0, 1)) / pixels
        values, vectors = np.linalg.eigh(self.products / pixels - np.outer(mean, mean))
        values, vectors = values[::-1], vectors[:, ::-1]
        largest = vectors[np.abs(vectors).argmax(0), range(3)]
        return np.sqrt(values.clip(0)), vectors * np.sign(largest)


def describe(array: np.ndarray) -> dict[str, Any]:
    """Shape, type and checksum of an array's values, as a manifest lists them."""
    return _description(array.dtype, array.shape, hashlib.sha256(np.ascontiguousarray(array).data))


def _description(dtype: np.dtype, shape: tuple[int, ...], values: Any) -> dict[str, Any]:
    return {"dtype": dtype.str, "shape": list(shape), "sha256": values.hexdigest()}


def _save(path: Path, array: np.ndarray) -> dict[str, Any]:
    np.save(path, array)
    return describe(array)


def _require_space(images: Images, folder: Path, size: int) -> None:
    needed = (len(images.train.labels) + len(images.test.labels)) * size * size * 3
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"the decoded images need {needed / 1e9:.1f} GB and {folder.parent} has "
            f"{free / 1e9:.1f} GB free; next step: set ABLATIONS_CACHE=FOLDER to a larger disk"
        )


def _write_images(
    path: Path,
    name: str,
    split: Split,
    dataset: Dataset,
    report: Report,
    moments: Moments | None,
) -> tuple[list[int], list[str], dict[str, Any]]:
    """Write the images of a split; return rows kept, places skipped, description."""
    total, size = len(split.labels), dataset.size
    kept: list[int] = []
    skipped: list[str] = []
    values = hashlib.sha256()
    done, reported = 0, time.monotonic()
    with path.open("wb") as file:
        _write_header(file, (total, size, size, 3))
        for start, chunk in _decoded(split.samples, size):
            for where, reason in chunk.broken:
                if not dataset.skip_broken:
                    raise ConfigError(
                        f"{where}: cannot be decoded ({reason}); next step: replace the image, or "
                        "leave such images out with dataset.skip_broken=true"
                    )
                skipped.append(where)
            file.write(chunk.pixels.data)
            values.update(chunk.pixels.data)
            kept += [start + row for row in chunk.kept]
            if moments:
                moments.add(chunk.pixels)
            done += len(chunk.kept) + len(chunk.broken)
            if time.monotonic() - reported > 1:
                reported = time.monotonic()
                report(f"decoding {name} images: {done:,} of {total:,}")
        shape = (len(kept), size, size, 3)
        # numpy pads headers so that a smaller count takes the same room.
        file.seek(0)
        _write_header(file, shape)
    return kept, skipped, _description(np.dtype(np.uint8), shape, values)


def _write_header(file: Any, shape: tuple[int, ...]) -> None:
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _decoded(samples: Iterable[Sample], size: int) -> Iterator[tuple[int, Decoded]]:
    """Chunks in order with the row of their first image, decoded by a thread per core."""
    length = max(1, CHUNK_BYTES // (size * size * 3))
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    waiting: deque[Any] = deque()
    start = 0
    samples = iter(samples)
    with ThreadPoolExecutor(threads) as pool:
        while chunk := list(islice(samples, length)):
            waiting.append((start, pool.submit(decode_chunk, chunk, size)))
            start += len(chunk)
            # A few chunks ahead: the data need not fit into memory.
            if len(waiting) > 2 * (threads or 1):
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
