"""Write the images of a source into the arrays of a store.

Images are appended to a file, because a full disk then raises an error; with a memory map, it would
kill the process.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from PIL import UnidentifiedImageError

from ablations.config import ConfigError, DataConfig, Storage
from ablations.data.cpu import cpu_cores
from ablations.data.decode import decode
from ablations.data.images import encode
from ablations.data.sources import Report, Sample, SourceData, Split
from ablations.data.statistics import PixelSums
from ablations.words import duration

LAYOUT = 4  # increase when the decoding or the layout of stores changes
GROUP = 500  # images in memory at a time


def build(images: SourceData, folder: Path, data: DataConfig, report: Report) -> None:
    """Write the arrays of a store into a folder, and then its manifest.

    Raises:
        ConfigError: A split is empty, or a test image has a class without training images.
        OSError: The folder cannot be written.
    """
    _check_classes(images)
    sums, skipped = _write_split(folder, "train", images.train, data, report)
    _, broken = _write_split(folder, "test", images.test, data, report)
    np.save(folder / "mean_image.npy", sums.mean_image())
    color_std, color_basis = sums.principal_colors()
    arrays = {
        path.stem: describe(np.load(path, mmap_mode="r")) for path in sorted(folder.glob("*.npy"))
    }
    manifest: dict[str, Any] = {
        "layout": LAYOUT,
        "name": images.name,
        "source": data.source.value,
        "files": [*data.train, *data.test] or data.path,
        "storage": data.storage.value,
        "size": data.size,
        "classes": images.classes,
        "skipped": skipped | broken,
        "color_std": color_std.tolist(),
        "color_basis": color_basis.tolist(),
        "fingerprint": fingerprint(arrays),
        "arrays": arrays,
    }
    manifest["sha256"] = seal(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    counts = [arrays[f"{split}_labels"]["shape"][0] for split in ("train", "test")]
    report(f"decoded {counts[0]:,} training and {counts[1]:,} test images")


def fingerprint(arrays: dict[str, Any]) -> str:
    """Return the SHA-256 over the descriptions of pixels and labels, 64 hexadecimal digits.

    Args:
        arrays: Result of :func:`describe` for each array of a store, by name.
    """
    derived = ("mean_image", "train_crcs", "test_crcs")
    of_images = {name: array for name, array in arrays.items() if name not in derived}
    return hashlib.sha256(json.dumps(of_images, sort_keys=True).encode()).hexdigest()


def seal(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its ``sha256``, as 64 hexadecimal digits."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def describe(array: np.ndarray) -> dict[str, Any]:
    """Return an array's dtype, shape and SHA-256, in the form of a manifest."""
    digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}


def _check_classes(images: SourceData) -> None:
    if unknown := sorted(set(images.test.labels.tolist()) - set(images.train.labels.tolist())):
        names = ", ".join(images.classes[label] for label in unknown[:5])
        raise ConfigError(
            f"{images.name}: no training images for {len(unknown)} of the test classes ({names}); "
            "next step: check the folders or files of both splits"
        )


def _write_split(
    folder: Path, name: str, split: Split, data: DataConfig, report: Report
) -> tuple[PixelSums, dict[str, str]]:
    """Write the arrays of a split; return the sums of its pixels, and the errors by image."""
    total, jpeg = len(split.labels), data.storage is Storage.jpeg
    image = () if jpeg else (data.size, data.size, 3)  # JPEG files are concatenated
    sums = PixelSums(data.size)
    lengths: list[int] = []
    crcs: list[int] = []
    kept: list[bool] = []
    broken: dict[str, str] = {}
    begun = time.monotonic()
    with (folder / f"{name}_images.npy").open("wb") as file:
        _write_header(file, (0, *image))
        for sample, content in _in_stored_form(split, data, sums):
            kept.append(isinstance(content, bytes))
            if isinstance(content, bytes):
                file.write(content)
                lengths.append(len(content))
                crcs.append(zlib.crc32(content))
            else:
                broken[sample.where] = content
            if len(kept) % GROUP == 0 and len(kept) < total:
                left = (time.monotonic() - begun) / len(kept) * (total - len(kept))
                report(f"decoding {name} images: {len(kept):,} of {total:,}, {duration(left)} left")
        file.seek(0)
        _write_header(file, (sum(lengths) if jpeg else len(lengths), *image))
        file.flush()
        os.fsync(file.fileno())  # the store is renamed only when it is on the disk
    if not lengths:
        raise ConfigError(
            f"data.source={data.source.value}: no {name} images ({len(broken)} broken); next "
            "step: check the files"
        )
    if jpeg:
        np.save(folder / f"{name}_offsets.npy", np.cumsum([0, *lengths]))
    np.save(folder / f"{name}_crcs.npy", np.array(crcs, np.uint32))
    np.save(folder / f"{name}_labels.npy", split.labels[kept])
    return sums, broken


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write numpy's header, padded to a length that does not depend on the shape."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _in_stored_form(
    split: Split, data: DataConfig, sums: PixelSums
) -> Iterator[tuple[Sample, bytes | str]]:
    """Yield each image with the result of :func:`_stored`, in order, using all cores."""
    samples, stored = iter(split.samples), partial(_stored, data=data, sums=sums)
    threads = ThreadPoolExecutor(cpu_cores())
    try:
        while group := list(islice(samples, GROUP)):
            yield from zip(group, threads.map(stored, group), strict=True)
    finally:
        threads.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest of a group


def _stored(sample: Sample, data: DataConfig, sums: PixelSums) -> bytes | str:
    """Return an image in stored form, and add it to ``sums``; if it is broken, return why."""
    content = sample.content
    try:
        if isinstance(content, Path):
            content = content.read_bytes()
        pixels = decode(content, data.size)
    except MemoryError:
        raise  # not the fault of the image
    except UnidentifiedImageError:
        return "no known image format"
    except Exception as error:  # decoders raise errors of many types on broken bytes
        return str(error)
    if data.storage is Storage.jpeg:
        content = encode(pixels)
        pixels = decode(content, data.size)  # as read from the store
    else:
        content = pixels.tobytes()
    sums.add(pixels)
    return content
