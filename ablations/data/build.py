"""Write the images of a source into the arrays of a store.

Images are written one after the other rather than into a memory map: a full disk is then an error
that can be told, where a memory map would kill the process.
"""

import hashlib
import json
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from ablations.config import ConfigError, DataConfig, Storage
from ablations.data.executors import cpu_cores, processes, threads
from ablations.data.moments import Moments
from ablations.data.pack import Packed, pack_chunk
from ablations.data.progress import Progress
from ablations.data.sources import Images, Report, Split

CHUNK_BYTES = 2**24  # decoded pixels that a process or thread handles at a time
SAVE_SECONDS = 20.0  # a killed build loses no more than this
# More than photographs take at the quality of `pack`, for the check of the disk.
JPEG_BYTES_PER_PIXEL = 0.6


def build(images: Images, folder: Path, data: DataConfig, report: Report) -> None:
    """Write arrays and manifest of a store into a folder; the manifest comes last.

    What an earlier call in the same folder got done is kept.

    Raises:
        ConfigError: A split is empty, or the disk is too small.
        OSError: The folder cannot be written.
    """
    _require_space(images, folder, data)
    arrays: dict[str, Any] = {}
    parts: list[Progress] = []
    for name, split in (("train", images.train), ("test", images.test)):
        part, arrays[f"{name}_images"] = _write_images(folder, name, split, data, report)
        parts.append(part)
        if not part.kept:
            raise ConfigError(
                f"data.source={data.source.value}: no {name} images ({len(part.skipped)} "
                "broken); next step: check the files"
            )
        if data.storage is Storage.jpeg:
            offsets = np.cumsum([0, *part.lengths])
            arrays[f"{name}_offsets"] = _save(folder / f"{name}_offsets.npy", offsets)
        arrays[f"{name}_labels"] = _save(folder / f"{name}_labels.npy", split.labels[part.kept])
    fingerprint = hashlib.sha256(json.dumps(arrays, sort_keys=True).encode()).hexdigest()
    moments = parts[0].moments
    arrays["mean_image"] = _save(folder / "mean_image.npy", moments.mean_image())
    color_std, color_basis = moments.principal_colors()
    skipped = parts[0].skipped | parts[1].skipped
    converted: Counter[str] = parts[0].converted + parts[1].converted
    manifest = {
        "source": data.source.value,
        "files": [*data.train, *data.test] or data.root,
        "storage": data.storage.value,
        "size": data.size,
        "classes": images.classes,
        "skipped": skipped,
        "converted": converted,
        "examples": [part.examples for part in parts],
        "color_std": color_std.tolist(),
        "color_basis": color_basis.tolist(),
        "fingerprint": fingerprint,
        "arrays": arrays,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    train, test = (len(part.kept) for part in parts)
    left_out = f", {len(skipped)} broken ones left out" if skipped else ""
    if data.skip_broken or not skipped:  # otherwise an error tells of them
        report(f"decoded {train:,} training and {test:,} test images{left_out}")


def describe(array: np.ndarray) -> dict[str, Any]:
    """Shape, type and checksum of an array's values, as a manifest lists them."""
    return _description(array.dtype, array.shape, hashlib.sha256(np.ascontiguousarray(array).data))


def progress_files(folder: Path) -> list[Path]:
    """What a build leaves for the next one to continue from."""
    return list(folder.glob("*.progress.npz"))


def _description(dtype: np.dtype, shape: tuple[int, ...], values: Any) -> dict[str, Any]:
    return {"dtype": dtype.str, "shape": list(shape), "sha256": values.hexdigest()}


def _save(path: Path, array: np.ndarray) -> dict[str, Any]:
    np.save(path, array)
    return describe(array)


def _require_space(images: Images, folder: Path, data: DataConfig) -> None:
    pixels = (len(images.train.labels) + len(images.test.labels)) * data.size**2
    needed = pixels * (3 if data.storage is Storage.raw else JPEG_BYTES_PER_PIXEL)
    there = sum(path.stat().st_size for path in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if needed > free + there:
        raise ConfigError(
            f"the decoded images need {needed / 1e6:,.0f} MB and {folder.parent} has "
            f"{free / 1e6:,.0f} MB free; next step: choose a larger disk with cache=FOLDER"
        )


def _write_images(
    folder: Path, name: str, split: Split, data: DataConfig, report: Report
) -> tuple[Progress, dict[str, Any]]:
    """Write the images of a split; return what is known about them and the array's description."""
    total, size = len(split.labels), data.size
    path, saved = folder / f"{name}_images.npy", folder / f"{name}_images.progress.npz"
    progress = Progress.load(saved, size)
    if not path.exists() or path.stat().st_size < progress.bytes:
        progress = Progress(Moments(size))
    with path.open("r+b" if progress.done else "wb") as file:
        start = _write_header(file, (0,) if data.storage is Storage.jpeg else (0, size, size, 3))
        values = hashlib.sha256()
        if progress.done:
            _read_on(file, start + progress.bytes, values)
            report(f"continuing after {progress.done:,} of {total:,} {name} images")
        begun = reported = kept = time.monotonic()
        before = progress.done
        for chunk in _packed(split, progress.done, data):
            file.write(chunk.content)
            values.update(chunk.content)
            progress.add(chunk)
            now = time.monotonic()
            if now - reported > 1:
                reported = now
                left = (now - begun) / (progress.done - before) * (total - progress.done)
                report(f"decoding {name} images: {progress.done:,} of {total:,}, {_time(left)}")
            if now - kept > SAVE_SECONDS:
                kept = now
                _keep(file, progress, saved)
        _keep(file, progress, saved)
        shape = (len(progress.kept), size, size, 3)
        if data.storage is Storage.jpeg:
            shape = (progress.bytes,)
        file.seek(0)
        _write_header(file, shape)
    return progress, _description(np.dtype(np.uint8), shape, values)


def _keep(file: BinaryIO, progress: Progress, saved: Path) -> None:
    """Note how far a file is written, once it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    progress.save(saved)


def _read_on(file: BinaryIO, end: int, values: Any) -> None:
    """Hash what is written already, and cut off what came after the last note of it."""
    while block := file.read(min(2**24, end - file.tell())):
        values.update(block)
    file.truncate()


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if not minutes:
        return "less than a minute left"
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min left"


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """Write numpy's header, padded so that every count takes the same room; return its end."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)
    return file.tell()


def _packed(split: Split, done: int, data: DataConfig) -> Iterator[Packed]:
    """The rest of the images in order, packed by all cores."""
    length = max(1, CHUNK_BYTES // (data.size**2 * 3))
    several = len(split.labels) - done > length
    # Pixels would have to pass from process to process, and threads decode them side by side.
    with (processes if data.storage is Storage.jpeg and several else threads)() as pool:
        try:
            yield from _in_order(pool, split, done, length, data)
        except BrokenProcessPool:
            raise ConfigError(
                "a process that decodes images was killed, perhaps for want of memory; next step: "
                "start the same command again: it continues where this one stopped"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor, split: Split, done: int, length: int, data: DataConfig
) -> Iterator[Packed]:
    waiting: deque[Future[Packed]] = deque()
    samples = islice(split.samples, done, None)
    while chunk := list(islice(samples, length)):
        waiting.append(pool.submit(pack_chunk, chunk, data.size, data.storage))
        # A few chunks ahead: the data need not fit into memory.
        if len(waiting) > 2 * cpu_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
