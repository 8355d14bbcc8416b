"""Write the images of a source into the arrays of a store.

Images are written one after the other rather than into a memory map: a full disk is then an error
that can be reported, where a memory map would kill the process.
"""

import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from PIL import UnidentifiedImageError

from ablations.config import ConfigError, DataConfig, Storage
from ablations.data.decode import decode
from ablations.data.executors import cpu_cores, processes, threads
from ablations.data.jpeg import encode
from ablations.data.sources import Images, Report, Sample, Split
from ablations.data.statistics import PixelSums

CHUNK_BYTES = 2**24  # decoded pixels that a process or thread handles at a time
# More than photographs take at the quality of `encode`, for the check of the disk.
JPEG_BYTES_PER_PIXEL = 0.6


@dataclass
class Encoded:
    """What is known about several images of a split, their bytes apart.

    Attributes:
        sums: Sums over the pixels that a reader of the store gets.
        samples: Number of images, the broken ones included.
        lengths: Bytes of each image that could be decoded.
        kept: Position of each of them among the images.
        broken: Reason for each of the others, by its place.
    """

    sums: PixelSums
    samples: int = 0
    lengths: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def __iadd__(self, following: "Encoded") -> Self:
        self.sums += following.sums
        self.lengths += following.lengths
        self.kept += [self.samples + position for position in following.kept]
        self.broken |= following.broken
        self.samples += following.samples
        return self


def encode_images(samples: list[Sample], size: int, storage: Storage) -> tuple[Encoded, bytes]:
    """Decode, scale and encode images; one that cannot be decoded is noted, not raised.

    Args:
        samples: The images.
        size: Height and width that they are stored at, in pixels.
        storage: How they are stored.

    Returns:
        What is known about them, and the bytes of those that could be decoded, concatenated.

    Raises:
        ConfigError: A file cannot be read, which says nothing about its image.
    """
    encoded, parts = Encoded(PixelSums(size), len(samples)), []
    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    for position, sample in enumerate(samples):
        content = _read(sample)
        target = pixels[len(encoded.kept)]
        try:
            target[...] = decode(content, size)
        except MemoryError:
            raise  # says nothing about the image
        except UnidentifiedImageError:
            encoded.broken[sample.where] = "no known image format" if content else "empty file"
            continue
        except Exception as error:  # decoders raise errors of many types on broken bytes
            encoded.broken[sample.where] = str(error)
            continue
        part = target.tobytes()
        if storage is Storage.jpeg:
            part = encode(target)
            target[...] = decode(part, size)  # what a reader of the store gets
        parts.append(part)
        encoded.kept.append(position)
        encoded.lengths.append(len(part))
    encoded.sums.add(pixels[: len(encoded.kept)])
    return encoded, b"".join(parts)


def _read(sample: Sample) -> bytes | np.ndarray:
    try:
        return sample.content.read_bytes() if isinstance(sample.content, Path) else sample.content
    except OSError as error:
        raise ConfigError(
            f"{sample.where}: cannot be read ({error.strerror}); next step: give access to it, and "
            "start the same command again"
        ) from None


def build(images: Images, folder: Path, data: DataConfig, report: Report) -> None:
    """Write arrays and manifest of a store into a folder; the manifest comes last.

    Raises:
        ConfigError: A split is empty, a test image is of a class without training images, a file
            cannot be read, or the disk is too small.
        OSError: The folder cannot be written.
    """
    _check_classes(images)
    _require_space(images, folder, data)
    arrays: dict[str, Any] = {}
    parts: list[Encoded] = []
    for name, split in (("train", images.train), ("test", images.test)):
        part, arrays[f"{name}_images"] = _write_images(folder, name, split, data, report)
        parts.append(part)
        if not part.kept:
            raise ConfigError(
                f"data.source={data.source.value}: no {name} images ({len(part.broken)} broken); "
                "next step: check the files"
            )
        if data.storage is Storage.jpeg:
            offsets = np.cumsum([0, *part.lengths])
            arrays[f"{name}_offsets"] = _save(folder / f"{name}_offsets.npy", offsets)
        arrays[f"{name}_labels"] = _save(folder / f"{name}_labels.npy", split.labels[part.kept])
    fingerprint = hashlib.sha256(json.dumps(arrays, sort_keys=True).encode()).hexdigest()
    sums = parts[0].sums
    arrays["mean_image"] = _save(folder / "mean_image.npy", sums.mean_image())
    color_std, color_basis = sums.principal_colors()
    skipped = parts[0].broken | parts[1].broken
    manifest = {
        "name": images.name,
        "source": data.source.value,
        "files": [*data.train, *data.test] or data.path,
        "storage": data.storage.value,
        "size": data.size,
        "classes": images.classes,
        "skipped": skipped,
        "color_std": color_std.tolist(),
        "color_basis": color_basis.tolist(),
        "fingerprint": fingerprint,
        "arrays": arrays,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    train, test = (len(part.kept) for part in parts)
    left_out = f", {len(skipped)} broken ones left out" if skipped else ""
    if data.skip_broken or not skipped:  # otherwise an error reports them
        report(f"decoded {train:,} training and {test:,} test images{left_out}")


def describe(array: np.ndarray) -> dict[str, Any]:
    """Return shape, type and checksum of an array's values, as a manifest lists them."""
    return _description(array.dtype, array.shape, hashlib.sha256(np.ascontiguousarray(array).data))


def _description(dtype: np.dtype, shape: tuple[int, ...], values: Any) -> dict[str, Any]:
    return {"dtype": dtype.str, "shape": list(shape), "sha256": values.hexdigest()}


def _save(path: Path, array: np.ndarray) -> dict[str, Any]:
    np.save(path, array)
    return describe(array)


def _check_classes(images: Images) -> None:
    if unknown := sorted(set(images.test.labels.tolist()) - set(images.train.labels.tolist())):
        names = ", ".join(images.classes[label] for label in unknown[:5])
        raise ConfigError(
            f"{images.name}: there are test images, but no training images, of {len(unknown)} "
            f"classes: {names}; next step: check the folders or files of both splits"
        )


def _require_space(images: Images, folder: Path, data: DataConfig) -> None:
    pixels = (len(images.train.labels) + len(images.test.labels)) * data.size**2
    needed = pixels * (3 if data.storage is Storage.raw else JPEG_BYTES_PER_PIXEL)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"the decoded images need {needed / 1e6:,.0f} MB and {folder.parent} has "
            f"{free / 1e6:,.0f} MB free; next step: choose a larger disk with cache=FOLDER"
        )


def _write_images(
    folder: Path, name: str, split: Split, data: DataConfig, report: Report
) -> tuple[Encoded, dict[str, Any]]:
    """Write the images of a split; return what is known about them and the array's description."""
    total, size = len(split.labels), data.size
    written, values = Encoded(PixelSums(size)), hashlib.sha256()
    with (folder / f"{name}_images.npy").open("wb") as file:
        _write_header(file, (0,) if data.storage is Storage.jpeg else (0, size, size, 3))
        begun = reported = time.monotonic()
        for part, content in _encoded(split, data):
            file.write(content)
            values.update(content)
            written += part
            now = time.monotonic()
            if now - reported > 1:
                reported = now
                left = (now - begun) / written.samples * (total - written.samples)
                done = f"{written.samples:,} of {total:,}"
                report(f"decoding {name} images: {done}, {_time(left)}")
        shape = (len(written.kept), size, size, 3)
        if data.storage is Storage.jpeg:
            shape = (sum(written.lengths),)
        file.seek(0)
        _write_header(file, shape)
        file.flush()
        os.fsync(file.fileno())  # the store gets its name only when it is on the disk
    return written, _description(np.dtype(np.uint8), shape, values)


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if not minutes:
        return "less than a minute left"
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min left"


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write numpy's header, padded so that every count takes the same room."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _encoded(split: Split, data: DataConfig) -> Iterator[tuple[Encoded, bytes]]:
    """Encode the images in order, on all cores."""
    length = max(1, CHUNK_BYTES // (data.size**2 * 3))
    several = len(split.labels) > length
    # Pixels would have to pass from process to process, and threads decode them side by side.
    with (processes if data.storage is Storage.jpeg and several else threads)() as pool:
        try:
            yield from _in_order(pool, split, length, data)
        except BrokenProcessPool:
            raise ConfigError(
                "a process that decodes images was killed, perhaps for lack of memory; next step: "
                "start the same command again, with more memory"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor, split: Split, length: int, data: DataConfig
) -> Iterator[tuple[Encoded, bytes]]:
    waiting: deque[Future[tuple[Encoded, bytes]]] = deque()
    samples = iter(split.samples)
    while chunk := list(islice(samples, length)):
        waiting.append(pool.submit(encode_images, chunk, data.size, data.storage))
        # A few chunks ahead: the data need not fit into memory.
        if len(waiting) > 2 * cpu_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
