"""The store of a data set: decoded once, then memory-mapped by every run.

A store is a folder in the cache, named after what went into it. It is built in a neighboring
folder under a lock and renamed when complete: whatever bears its name is whole.
"""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ablations.config import ConfigError, DataConfig, Run, Source
from ablations.data import synthetic
from ablations.data.build import LAYOUT, build, describe, seal
from ablations.data.cache import cache_folder, writing_alone
from ablations.data.images import CheckedPixels, Checksums, StoredImages
from ablations.data.jpeg import JpegImages
from ablations.data.sources import Report, find_files, hub_commit, hub_name
from ablations.data.stratified import stratified_order

VERIFIED_BYTES = 2**30  # stores up to this size are verified whole at every start
UNREADABLE = (OSError, ValueError, RecursionError)  # of damaged files

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Store:
    """Decoded images, labels and their statistics.

    Pickles as its path: a child process maps the same files.

    Attributes:
        path: Folder of the store.
        name: Name of the data set, as its source gives it.
        fingerprint: SHA-256 of the pixels and labels of both splits, 64 hexadecimal digits.
        classes: Class names; a label is a position in this list.
        skipped: Why an image could not be decoded, by its file or row.
        color_std: Standard deviations of the training pixels along their principal colors, scale
            0 to 255, largest first, shape (3,).
        color_basis: The principal colors: unit vectors in RGB as columns, shape (3, 3).
    """

    path: Path
    name: str
    fingerprint: str
    classes: tuple[str, ...]
    skipped: dict[str, str]
    color_std: np.ndarray
    color_basis: np.ndarray

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open a store that :func:`prepare` returned.

        Raises:
            ConfigError: There is no store in the folder.
        """
        try:
            return cls._read(path)
        except UNREADABLE as error:
            raise ConfigError(
                f"no data store in {path} ({error}); next step: prepare the data again"
            ) from None

    @classmethod
    def _read(cls, path: Path) -> "Store":
        manifest = _manifest(path)
        return cls(
            path,
            manifest["name"],
            manifest["fingerprint"],
            tuple(manifest["classes"]),
            manifest["skipped"],
            np.array(manifest["color_std"], np.float32),
            np.array(manifest["color_basis"], np.float32),
        )

    @classmethod
    def of_run(cls, path: Path, run: Run) -> "Store":
        """Open and verify the store of a run, whose plan may be days old.

        Raises:
            ConfigError: There is none in the folder, it is damaged, or it holds other data.
        """
        if reason := damage(path):
            raise ConfigError(
                f"the data store {path} is missing or damaged ({reason}); next step: start the "
                "command of the run again, which prepares the data, or copy the store again"
            )
        store = cls.open(path)
        if store.fingerprint != run.fingerprint:
            raise ConfigError(
                f"the data store {path} now holds other data, fingerprint "
                f"{store.fingerprint[:16]}, than the run {run.run_id}, {run.fingerprint[:16]}; "
                "next step: start its command again, which makes another run of the new data"
            )
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        return Store.open, (self.path,)

    @cached_property
    def train_images(self) -> np.ndarray | StoredImages:
        """Shape (N, S, S, 3), uint8, memory-mapped; or read one by one.

        Those of a JPEG store are decoded when they are read, and those of a large store checked.
        """
        return self._images("train")

    @cached_property
    def train_labels(self) -> np.ndarray:
        """Class numbers, shape (N,), int64."""
        return np.array(_array(self.path, "train_labels"))

    @cached_property
    def test_images(self) -> np.ndarray | StoredImages:
        """Shape (M, S, S, 3), as ``train_images``."""
        return self._images("test")

    @cached_property
    def test_labels(self) -> np.ndarray:
        """Class numbers, shape (M,), int64."""
        return np.array(_array(self.path, "test_labels"))

    @cached_property
    def mean_image(self) -> np.ndarray:
        """Mean training image on the scale 0 to 255, shape (S, S, 3), float32."""
        return np.array(_array(self.path, "mean_image"))

    def _images(self, split: str) -> np.ndarray | StoredImages:
        images, checksums = _array(self.path, f"{split}_images"), None
        if _is_large(self.path):
            values = np.array(_array(self.path, f"{split}_crcs"))
            checksums = Checksums(values, str(self.path), split)
        if (self.path / f"{split}_offsets.npy").exists():
            offsets = np.array(_array(self.path, f"{split}_offsets"))
            return JpegImages(images, offsets, len(self.mean_image), checksums)
        return CheckedPixels(images, checksums) if checksums else images

    def split(self, train_limit: int | None, val_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Cut a validation set from the training images, and limit what remains.

        Both are spread over the classes in proportion to their sizes. The cut is the same for all
        runs: neither the seed nor ``train_limit`` moves it, and smaller limits are subsets of
        larger ones.

        Args:
            train_limit: Number of images to train on; None takes all that remain.
            val_size: Number of validation images.

        Returns:
            Rows of ``train_images`` to train on and to validate on, each ascending, int64.

        Raises:
            ConfigError: There are too few images.
        """
        labels = self.train_labels
        remaining = len(labels) - val_size
        if remaining < (train_limit or 1):
            raise ConfigError(
                f"{len(labels)} training images are too few for data.val_size={val_size} and "
                f"data.train_limit={train_limit}; next step: lower one of them"
            )
        order = stratified_order(labels)
        end = val_size + (remaining if train_limit is None else train_limit)
        return np.sort(order[val_size:end]), np.sort(order[:val_size])


def prepare(data: DataConfig, cache: Path | None = None, report: Report | None = None) -> Store:
    """Decode a data set into its store, or find the store of an earlier call.

    Args:
        data: What to decode; its limits and validation size do not matter here.
        cache: Folder of the stores; None takes ``cache_folder()``.
        report: Told in one line what is being done, about once a second.

    Raises:
        ConfigError: The data are missing or broken, or the cache folder cannot be used.
    """
    report = report or (lambda line: None)
    if given := _given(data):
        return _checked(given, data)
    path = _place(data, (cache or cache_folder()).absolute(), report)
    if damage(path) is not None:
        with writing_alone(path, report):
            # Another process may have built it while this one waited.
            if reason := damage(path):
                if path.exists():
                    log.warning(
                        "the data store %s is damaged (%s): building it again", path, reason
                    )
                _build(data, path, report)
    return _accepted(Store.open(path), data)


def is_prepared(data: DataConfig, cache: Path | None = None) -> bool:
    """Return whether :func:`prepare` would find the store of an earlier call.

    Args:
        data: The data set; nothing of it is decoded.
        cache: Folder of the stores; None takes ``cache_folder()``.
    """
    if _given(data):
        return True
    try:
        path = _place(data, cache or cache_folder(), lambda line: None)
    except ConfigError:  # they are not there
        return False
    return damage(path) is None


def _place(data: DataConfig, cache: Path, report: Report) -> Path:
    """Return the folder of a data set in the cache; of one of the hub, that of its latest commit.

    Where the hub does not tell it, the store that was prepared last is taken.
    """
    where = [data.path, data.train, data.test, data.subset, data.image, data.label]
    if data.source is not Source.huggingface:
        where = []
    content = [LAYOUT, data.source.value, data.size, data.storage.value, find_files(data), where]
    if data.source is Source.synthetic:
        content.append(synthetic.VERSION)
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    path = cache / f"{data.source.value}-{data.size}px-{key}"
    if not (name := hub_name(data)):
        return path
    commit, problem = hub_commit(name)
    if commit:
        return path.with_name(f"{path.name}-{commit[:12]}")
    # An older version named no commit.
    stores = [path, *cache.glob(f"{path.name}-{'[0-9a-f]' * 12}")]
    made = [store for store in stores if (store / "manifest.json").exists()]
    if not made:
        return path
    report(f"data.path={name}: taken as last prepared, the hub gives no latest version ({problem})")
    return max(made, key=lambda store: (store / "manifest.json").stat().st_mtime)


def _given(data: DataConfig) -> Path | None:
    """Return ``data.path`` if it is a store, prepared before, perhaps on another machine."""
    path = Path(data.path or "").expanduser().absolute()
    return path if data.path and (path / "manifest.json").is_file() else None


def _checked(path: Path, data: DataConfig) -> Store:
    if reason := damage(path):
        raise ConfigError(
            f"data.path={path}: the store is damaged or of another version ({reason}); next step: "
            "copy it again, or prepare the data again"
        )
    store = Store.open(path)
    if len(store.mean_image) != data.size:
        raise ConfigError(
            f"data.path={path}: the images have {len(store.mean_image)} pixels, and "
            f"data.size={data.size}; next step: prepare the data at that size"
        )
    return _accepted(store, data)


def _accepted(store: Store, data: DataConfig) -> Store:
    """Return the store, unless broken images are missing from it and that was not asked for."""
    if store.skipped and not data.skip_broken:
        where, reason = next(iter(store.skipped.items()))
        more = f", as are {len(store.skipped) - 1} more" if len(store.skipped) > 1 else ""
        raise ConfigError(
            f"{where}: cannot be decoded ({reason}){more}, see {store.path}/manifest.json; next "
            "step: leave such images out with data.skip_broken=true, or replace them, remove "
            "that folder and prepare the data again"
        )
    return store


def damage(path: Path) -> str | None:
    """Return why a folder is no sound store; None if it is one.

    Every array is compared with its SHA-256, about a second for each gigabyte. The images of a
    store of more than ``VERIFIED_BYTES`` are not: reading hundreds of gigabytes at every start
    would take minutes, and each of them is compared with its checksum when it is read.
    """
    try:
        arrays, large = _manifest(path)["arrays"], _is_large(path)
        for name, expected in arrays.items():
            array = _array(path, name)
            if [array.dtype.str, list(array.shape)] != [expected["dtype"], expected["shape"]]:
                return f"{name}: type or size differs"
            checked_when_read = large and name in {"train_images", "test_images"}
            if not checked_when_read and describe(array) != expected:
                return f"{name}: checksum differs"
    except UNREADABLE as error:
        return str(error)
    return None


def _is_large(path: Path) -> bool:
    return sum(array.stat().st_size for array in path.glob("*.npy")) > VERIFIED_BYTES


def _build(data: DataConfig, path: Path, report: Report) -> None:
    partial = path.with_name(f"{path.name}.partial")
    # A killed build may have left one; the lock ensures that no other process writes to it.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    scratch = partial / "scratch"
    try:
        scratch.mkdir()
        source = import_module(f"ablations.data.{data.source.value}")
        build(source.read(data, path.parent, scratch, report), partial, data, report)
        shutil.rmtree(scratch)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _manifest(path: Path) -> dict[str, Any]:
    manifest = json.loads((path / "manifest.json").read_text())
    if not isinstance(manifest, dict):
        raise ValueError("manifest.json: not a manifest")
    if manifest.get("layout") != LAYOUT:
        raise ValueError(f"layout {manifest.get('layout', 'unknown')}, and this version's {LAYOUT}")
    if manifest.get("sha256") != seal(manifest):
        raise ValueError("manifest.json: checksum differs")
    return manifest


def _array(path: Path, name: str) -> np.ndarray:
    try:
        return npy.open_memmap(path / f"{name}.npy", mode="r")
    except OSError:
        raise
    except Exception as error:  # numpy raises errors of many types on broken bytes
        raise ValueError(f"{name}: {error}") from None
