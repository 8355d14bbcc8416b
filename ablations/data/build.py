"""Write the images of a source into the arrays of a store.

Images are appended to a file, because a full disk then raises an error; with a memory map, it would
kill the process.
"""

import hashlib
import json
import os
import shutil
import time
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from PIL import UnidentifiedImageError

from ablations.config import ConfigError, DataConfig, Storage
from ablations.data.decode import decode
from ablations.data.executors import cpu_cores, processes
from ablations.data.jpeg import encode
from ablations.data.sources import Report, Sample, SourceData, Split
from ablations.data.statistics import PixelSums
from ablations.words import duration

LAYOUT = 4  # increase when the decoding or the layout of stores changes
CHUNK_BYTES = 2**24  # of decoded pixels per task of a process or thread
# Upper estimate for photographs at the quality of `encode`, to check the disk space.
JPEG_BYTES_PER_PIXEL = 0.6


class Encoded(NamedTuple):
    """A chunk of images in stored form.

    Attributes:
        content: Concatenated bytes of the images that could be decoded.
        lengths: Number of bytes of each of them.
        crcs: CRC-32 of the bytes of each of them.
        kept: For each image of the chunk, whether it could be decoded.
        broken: Reason for each image that could not be decoded, by file or row.
        sums: Sums over the pixels as they are read from the store.
    """

    content: bytes
    lengths: list[int]
    crcs: list[int]
    kept: list[bool]
    broken: dict[str, str]
    sums: PixelSums


def encode_images(samples: list[Sample], size: int, storage: Storage) -> Encoded:
    """Decode, scale and encode images; images that cannot be decoded are listed in the result.

    Args:
        samples: The images.
        size: Height and width of the stored images, in pixels.
        storage: Format of the stored images.

    Raises:
        ConfigError: A file cannot be read.
    """
    broken: dict[str, str] = {}
    parts: list[bytes] = []
    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    for sample in samples:
        content = _read(sample)
        target = pixels[len(parts)]
        try:
            target[...] = decode(content, size)
        except MemoryError:
            raise  # not the fault of the image
        except UnidentifiedImageError:
            broken[sample.where] = "no known image format" if content else "empty file"
            continue
        except Exception as error:  # decoders raise errors of many types on broken bytes
            broken[sample.where] = str(error)
            continue
        if storage is Storage.jpeg:
            parts.append(encode(target))
            target[...] = decode(parts[-1], size)  # as read from the store
        else:
            parts.append(target.tobytes())
    sums = PixelSums(size)
    sums.add(pixels[: len(parts)])
    kept = [sample.where not in broken for sample in samples]
    lengths, crcs = [len(part) for part in parts], [zlib.crc32(part) for part in parts]
    return Encoded(b"".join(parts), lengths, crcs, kept, broken, sums)


def _read(sample: Sample) -> bytes | np.ndarray:
    try:
        return sample.content.read_bytes() if isinstance(sample.content, Path) else sample.content
    except OSError as error:
        raise ConfigError(
            f"{sample.where}: cannot be read ({error.strerror}); next step: give access to it, and "
            "repeat the command"
        ) from None


def build(images: SourceData, folder: Path, data: DataConfig, report: Report) -> None:
    """Write the arrays of a store into a folder, and then its manifest.

    Raises:
        ConfigError: A split is empty, a test image has a class without training images, a file
            cannot be read, or the disk is too small.
        OSError: The folder cannot be written.
    """
    _check_classes(images)
    _require_space(images, folder, data)
    train, sums, skipped = _write_split(folder, "train", images.train, data, report)
    test, _, broken = _write_split(folder, "test", images.test, data, report)
    arrays, skipped = train | test, skipped | broken
    arrays["mean_image"] = _save(folder, "mean_image", sums.mean_image())
    color_std, color_basis = sums.principal_colors()
    manifest: dict[str, Any] = {
        "layout": LAYOUT,
        "name": images.name,
        "source": data.source.value,
        "files": [*data.train, *data.test] or data.path,
        "storage": data.storage.value,
        "size": data.size,
        "classes": images.classes,
        "skipped": skipped,
        "color_std": color_std.tolist(),
        "color_basis": color_basis.tolist(),
        "fingerprint": fingerprint(arrays),
        "arrays": arrays,
    }
    manifest["sha256"] = seal(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    counts = [arrays[f"{split}_labels"]["shape"][0] for split in ("train", "test")]
    if data.skip_broken or not skipped:  # otherwise an error reports them
        report(f"decoded {counts[0]:,} training and {counts[1]:,} test images")


def fingerprint(arrays: dict[str, Any]) -> str:
    """Return the SHA-256 of the pixels and labels in a manifest, as 64 hexadecimal digits."""
    derived = ("mean_image", "train_crcs", "test_crcs")
    of_images = {name: array for name, array in arrays.items() if name not in derived}
    return hashlib.sha256(json.dumps(of_images, sort_keys=True).encode()).hexdigest()


def seal(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its ``sha256``, as 64 hexadecimal digits."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def describe(array: np.ndarray) -> dict[str, Any]:
    """Return an array's dtype, shape and SHA-256, in the form of a manifest."""
    return _description(array.dtype, array.shape, hashlib.sha256(np.ascontiguousarray(array).data))


def _description(dtype: np.dtype, shape: tuple[int, ...], digest: Any) -> dict[str, Any]:
    return {"dtype": dtype.str, "shape": list(shape), "sha256": digest.hexdigest()}


def _save(folder: Path, name: str, array: np.ndarray) -> dict[str, Any]:
    np.save(folder / f"{name}.npy", array)
    return describe(array)


def _check_classes(images: SourceData) -> None:
    if unknown := sorted(set(images.test.labels.tolist()) - set(images.train.labels.tolist())):
        names = ", ".join(images.classes[label] for label in unknown[:5])
        raise ConfigError(
            f"{images.name}: no training images for {len(unknown)} of the test classes ({names}); "
            "next step: check the folders or files of both splits"
        )


def _require_space(images: SourceData, folder: Path, data: DataConfig) -> None:
    pixels = (len(images.train.labels) + len(images.test.labels)) * data.size**2
    needed = pixels * (3 if data.storage is Storage.raw else JPEG_BYTES_PER_PIXEL)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"cache={folder.parent}: the decoded images need {needed / 1e6:,.0f} MB, but only "
            f"{free / 1e6:,.0f} MB are free; next step: choose a larger disk with cache=FOLDER"
        )


def _write_split(
    folder: Path, name: str, split: Split, data: DataConfig, report: Report
) -> tuple[dict[str, Any], PixelSums, dict[str, str]]:
    """Write a split; return the descriptions of its arrays, its pixel sums and broken images."""
    total, size, jpeg = len(split.labels), data.size, data.storage is Storage.jpeg
    sums, digest = PixelSums(size), hashlib.sha256()
    lengths: list[int] = []
    crcs: list[int] = []
    kept: list[bool] = []
    broken: dict[str, str] = {}
    with (folder / f"{name}_images.npy").open("wb") as file:
        _write_header(file, (0,) if jpeg else (0, size, size, 3))
        begun = reported = time.monotonic()
        for part in _encoded(split, data):
            file.write(part.content)
            digest.update(part.content)
            sums += part.sums
            lengths += part.lengths
            crcs += part.crcs
            kept += part.kept
            broken |= part.broken
            now = time.monotonic()
            if now - reported > 1:
                reported = now
                left = (now - begun) / len(kept) * (total - len(kept))
                report(f"decoding {name} images: {len(kept):,} of {total:,}, {duration(left)} left")
        shape = (sum(lengths),) if jpeg else (len(lengths), size, size, 3)
        file.seek(0)
        _write_header(file, shape)
        file.flush()
        os.fsync(file.fileno())  # the store is renamed only when it is on the disk
    if not lengths:
        raise ConfigError(
            f"data.source={data.source.value}: no {name} images ({len(broken)} broken); next "
            "step: check the files"
        )
    arrays = {f"{name}_images": _description(np.dtype(np.uint8), shape, digest)}
    if jpeg:
        offsets = np.cumsum([0, *lengths])
        arrays[f"{name}_offsets"] = _save(folder, f"{name}_offsets", offsets)
    arrays[f"{name}_crcs"] = _save(folder, f"{name}_crcs", np.array(crcs, np.uint32))
    arrays[f"{name}_labels"] = _save(folder, f"{name}_labels", split.labels[kept])
    return arrays, sums, broken


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write numpy's header, padded to a length that does not depend on the shape."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _encoded(split: Split, data: DataConfig) -> Iterator[Encoded]:
    """Yield the encoded images in order, using all cores."""
    length = max(1, CHUNK_BYTES // (data.size**2 * 3))
    # Threads return pixels without a copy, but would block each other when encoding JPEG.
    in_processes = data.storage is Storage.jpeg and len(split.labels) > length
    with processes() if in_processes else ThreadPoolExecutor(cpu_cores()) as pool:
        try:
            yield from _in_order(pool, split, length, data)
        except BrokenProcessPool:
            raise ConfigError(
                "a process that decodes images was killed, perhaps for lack of memory; next step: "
                "repeat the command with more memory"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(pool: Executor, split: Split, length: int, data: DataConfig) -> Iterator[Encoded]:
    waiting: deque[Future[Encoded]] = deque()
    samples = iter(split.samples)
    while chunk := list(islice(samples, length)):
        waiting.append(pool.submit(encode_images, chunk, data.size, data.storage))
        # Only a few chunks ahead, because the data may not fit into memory.
        if len(waiting) > 2 * cpu_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
