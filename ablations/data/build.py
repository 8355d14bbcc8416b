"""Write the images of a source into the arrays of a store.

Images are written one after the other rather than into a memory map: a full disk is then an error
that can be reported, where a memory map would kill the process.
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

LAYOUT = 4  # raised when stores are decoded or laid out differently
CHUNK_BYTES = 2**24  # decoded pixels that a process or thread handles at a time
# More than photographs take at the quality of `encode`, for the check of the disk.
JPEG_BYTES_PER_PIXEL = 0.6


class Encoded(NamedTuple):
    """Several images of a split as they are stored.

    Attributes:
        content: Bytes of the images that could be decoded, one after the other.
        lengths: Bytes of each of them.
        crcs: CRC-32 of the bytes of each of them.
        kept: For every image, whether it could be decoded.
        broken: The reason for each of the others, by its place.
        sums: Sums over the pixels that a reader of the store gets.
    """

    content: bytes
    lengths: list[int]
    crcs: list[int]
    kept: list[bool]
    broken: dict[str, str]
    sums: PixelSums


def encode_images(samples: list[Sample], size: int, storage: Storage) -> Encoded:
    """Decode, scale and encode images; one that cannot be decoded is noted, not raised.

    Args:
        samples: The images.
        size: Height and width that they are stored at, in pixels.
        storage: How they are stored.

    Raises:
        ConfigError: A file cannot be read, which says nothing about its image.
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
            raise  # says nothing about the image
        except UnidentifiedImageError:
            broken[sample.where] = "no known image format" if content else "empty file"
            continue
        except Exception as error:  # decoders raise errors of many types on broken bytes
            broken[sample.where] = str(error)
            continue
        if storage is Storage.jpeg:
            parts.append(encode(target))
            target[...] = decode(parts[-1], size)  # what a reader of the store gets
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
            "start the same command again"
        ) from None


def build(images: SourceData, folder: Path, data: DataConfig, report: Report) -> None:
    """Write arrays and manifest of a store into a folder; the manifest comes last.

    Raises:
        ConfigError: A split is empty, a test image is of a class without training images, a file
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
    left_out = f", {len(skipped)} broken ones left out" if skipped else ""
    if data.skip_broken or not skipped:  # otherwise an error reports them
        report(f"decoded {counts[0]:,} training and {counts[1]:,} test images{left_out}")


def fingerprint(arrays: dict[str, Any]) -> str:
    """Return SHA-256 of the pixels and labels that a manifest lists, 64 hexadecimal digits."""
    derived = ("mean_image", "train_crcs", "test_crcs")
    of_images = {name: array for name, array in arrays.items() if name not in derived}
    return hashlib.sha256(json.dumps(of_images, sort_keys=True).encode()).hexdigest()


def seal(manifest: dict[str, Any]) -> str:
    """Return SHA-256 of all of a manifest but its own, 64 hexadecimal digits."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def describe(array: np.ndarray) -> dict[str, Any]:
    """Return shape, type and checksum of an array's values, as a manifest lists them."""
    return _description(array.dtype, array.shape, hashlib.sha256(np.ascontiguousarray(array).data))


def _description(dtype: np.dtype, shape: tuple[int, ...], values: Any) -> dict[str, Any]:
    return {"dtype": dtype.str, "shape": list(shape), "sha256": values.hexdigest()}


def _save(folder: Path, name: str, array: np.ndarray) -> dict[str, Any]:
    np.save(folder / f"{name}.npy", array)
    return describe(array)


def _check_classes(images: SourceData) -> None:
    if unknown := sorted(set(images.test.labels.tolist()) - set(images.train.labels.tolist())):
        names = ", ".join(images.classes[label] for label in unknown[:5])
        raise ConfigError(
            f"{images.name}: there are test images, but no training images, of {len(unknown)} "
            f"classes: {names}; next step: check the folders or files of both splits"
        )


def _require_space(images: SourceData, folder: Path, data: DataConfig) -> None:
    pixels = (len(images.train.labels) + len(images.test.labels)) * data.size**2
    needed = pixels * (3 if data.storage is Storage.raw else JPEG_BYTES_PER_PIXEL)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"the decoded images need {needed / 1e6:,.0f} MB and {folder.parent} has "
            f"{free / 1e6:,.0f} MB free; next step: choose a larger disk with cache=FOLDER"
        )


def _write_split(
    folder: Path, name: str, split: Split, data: DataConfig, report: Report
) -> tuple[dict[str, Any], PixelSums, dict[str, str]]:
    """Write a split; return the descriptions of its arrays, its sums, and its broken images."""
    total, size, jpeg = len(split.labels), data.size, data.storage is Storage.jpeg
    sums, values = PixelSums(size), hashlib.sha256()
    lengths: list[int] = []
    crcs: list[int] = []
    kept: list[bool] = []
    broken: dict[str, str] = {}
    with (folder / f"{name}_images.npy").open("wb") as file:
        _write_header(file, (0,) if jpeg else (0, size, size, 3))
        begun = reported = time.monotonic()
        for part in _encoded(split, data):
            file.write(part.content)
            values.update(part.content)
            sums += part.sums
            lengths += part.lengths
            crcs += part.crcs
            kept += part.kept
            broken |= part.broken
            now = time.monotonic()
            if now - reported > 1:
                reported = now
                left = (now - begun) / len(kept) * (total - len(kept))
                report(f"decoding {name} images: {len(kept):,} of {total:,}, {_time(left)}")
        shape = (sum(lengths),) if jpeg else (len(lengths), size, size, 3)
        file.seek(0)
        _write_header(file, shape)
        file.flush()
        os.fsync(file.fileno())  # the store gets its name only when it is on the disk
    if not lengths:
        raise ConfigError(
            f"data.source={data.source.value}: no {name} images ({len(broken)} broken); next "
            "step: check the files"
        )
    arrays = {f"{name}_images": _description(np.dtype(np.uint8), shape, values)}
    if jpeg:
        offsets = np.cumsum([0, *lengths])
        arrays[f"{name}_offsets"] = _save(folder, f"{name}_offsets", offsets)
    arrays[f"{name}_crcs"] = _save(folder, f"{name}_crcs", np.array(crcs, np.uint32))
    arrays[f"{name}_labels"] = _save(folder, f"{name}_labels", split.labels[kept])
    return arrays, sums, broken


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if not minutes:
        return "less than a minute left"
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min left"


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write numpy's header, padded so that every count takes the same room."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _encoded(split: Split, data: DataConfig) -> Iterator[Encoded]:
    """Encode the images in order, on all cores."""
    length = max(1, CHUNK_BYTES // (data.size**2 * 3))
    # Threads hand over pixels without a copy; encoding JPEG would make them wait for one another.
    apart = data.storage is Storage.jpeg and len(split.labels) > length
    with processes() if apart else ThreadPoolExecutor(cpu_cores()) as pool:
        try:
            yield from _in_order(pool, split, length, data)
        except BrokenProcessPool:
            raise ConfigError(
                "a process that decodes images was killed, perhaps for lack of memory; next step: "
                "start the same command again, with more memory"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(pool: Executor, split: Split, length: int, data: DataConfig) -> Iterator[Encoded]:
    waiting: deque[Future[Encoded]] = deque()
    samples = iter(split.samples)
    while chunk := list(islice(samples, length)):
        waiting.append(pool.submit(encode_images, chunk, data.size, data.storage))
        # A few chunks ahead: the data need not fit into memory.
        if len(waiting) > 2 * cpu_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
