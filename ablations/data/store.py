"""The store of a data set: decoded once, then memory-mapped by every run.

A store is a folder in the cache, named after a hash of its inputs. It is built under a lock in a
temporary folder, which is renamed when complete, so that a store is never partial.
"""

import hashlib
import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np

from ablations.config import ConfigError, DataConfig, Run, Source
from ablations.data import synthetic
from ablations.data.build import LAYOUT, build, describe, seal
from ablations.data.cache import cache_folder, writing_alone
from ablations.data.images import StoredImages
from ablations.data.sources import Report, find_files, hub_commit, hub_name
from ablations.data.stratified import stratified_order
from ablations.words import count

VERIFIED_BYTES = 2**30  # stores up to this size are fully verified at every start

MAPPED = ("train_images", "test_images")  # arrays in memory maps


class Store:
    """Decoded images, labels and their statistics.

    Args:
        path: A folder that :func:`prepare` returned.
        verify: Verify every array against its SHA-256. The images of a store larger than
            ``VERIFIED_BYTES`` are instead verified one by one when they are read, because reading
            all of them would delay every start.

    Attributes:
        path: Folder of the store.
        name: Name of the data set, as its source gives it.
        fingerprint: SHA-256 of the pixels and labels of both splits, 64 hexadecimal digits.
        classes: Class names; a label is a position in this list.
        skipped: Reason for each image that could not be decoded, by file or row.
        color_std: Standard deviations of the training pixels along their principal colors, scale
            0 to 255, largest first, shape (3,).
        color_basis: The principal colors: unit vectors in RGB as columns, shape (3, 3).
        mean_image: Mean training image on the scale 0 to 255, shape (S, S, 3), float32.
        train_images: Training images, :class:`StoredImages` of shape (N, S, S, 3), uint8.
        train_labels: Class numbers of the training images, shape (N,), int64.
        test_images: Test images.
        test_labels: Class numbers of the test images.

    Raises:
        ConfigError: The store is missing or damaged.
    """

    def __init__(self, path: Path, *, verify: bool = False) -> None:
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            if (layout := manifest.get("layout")) != LAYOUT:
                raise ValueError(f"layout {layout}, not {LAYOUT}")
            if manifest.get("sha256") != seal(manifest):
                raise ValueError("manifest.json: checksum differs")
            arrays = {
                name: np.load(path / f"{name}.npy", "r" if name in MAPPED else None)
                for name in manifest["arrays"]
            }
            large = sum(array.nbytes for array in arrays.values()) > VERIFIED_BYTES
            for name, array in arrays.items() if verify else ():
                checked_when_read = large and name in MAPPED
                if not checked_when_read and describe(array) != manifest["arrays"][name]:
                    raise ValueError(f"{name}: checksum differs")
        except Exception as error:  # damaged files raise errors of many types
            raise ConfigError(
                f"the data store {path} is missing or damaged ({error}); next step: repeat the "
                "run's command, which prepares the data, or copy the store again"
            ) from None
        self.path = path
        self.name: str = manifest["name"]
        self.fingerprint: str = manifest["fingerprint"]
        self.classes = tuple(manifest["classes"])
        self.skipped: dict[str, str] = manifest["skipped"]
        self.color_std = np.array(manifest["color_std"], np.float32)
        self.color_basis = np.array(manifest["color_basis"], np.float32)
        self.mean_image = arrays["mean_image"]
        self.train_labels = arrays["train_labels"]
        self.test_labels = arrays["test_labels"]
        self.train_images, self.test_images = (
            StoredImages(
                path / f"{split}_images.npy",
                arrays[f"{split}_images"],
                len(self.mean_image),
                arrays.get(f"{split}_offsets"),
                arrays[f"{split}_crcs"] if large else None,
            )
            for split in ("train", "test")
        )

    @classmethod
    def of_run(cls, path: Path, run: Run) -> "Store":
        """Open the store of a run, and verify it, because the plan may be days old.

        Raises:
            ConfigError: The store is missing or damaged, or holds other data.
        """
        store = cls(path, verify=True)
        if store.fingerprint != run.fingerprint:
            raise ConfigError(
                f"the data store {path} has changed: its fingerprint is {store.fingerprint[:16]}, "
                f"but the run {run.run_id} needs {run.fingerprint[:16]}; next step: repeat the "
                "run's command, which creates another run for the new data"
            )
        return store

    @property
    def images(self) -> tuple[int, int]:
        """Number of training and of test images."""
        return len(self.train_labels), len(self.test_labels)

    def split(self, train_limit: int | None, val_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Split the training images into images to train on and to validate on.

        Both sets are stratified by class. The validation set depends neither on the seed nor on
        ``train_limit``, and a smaller limit selects a subset of a larger one.

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
                f"data.val_size={val_size} data.train_limit={train_limit or 'null'}: there are "
                f"only {len(labels)} training images; next step: set data.train_limit=null "
                f"data.val_size={len(labels) // 10}"
            )
        order = stratified_order(labels)
        end = val_size + (remaining if train_limit is None else train_limit)
        return np.sort(order[val_size:end]), np.sort(order[:val_size])


def prepare(data: DataConfig, cache: Path | None = None, report: Report | None = None) -> Store:
    """Return the store of a data set, after decoding it unless an earlier call has.

    Args:
        data: The data set; ``train_limit`` and ``val_size`` are ignored.
        cache: Folder of the stores; None takes ``cache_folder()``.
        report: Called with lines of progress.

    Raises:
        ConfigError: The data are missing or broken, or the cache folder cannot be used.
    """
    report = report or (lambda line: None)
    if given := _given(data):
        store = Store(given, verify=True)
        if (size := len(store.mean_image)) != data.size:
            raise ConfigError(
                f"data.size={data.size}: the images in {given} have {size} pixels; next step: set "
                f"data.size={size}, or prepare the data again"
            )
        return _accepted(store, data, report)
    path = _place(data, (cache or cache_folder()).absolute(), report)
    if not (store := _intact(path)):
        damaged = f"the data store {path} is damaged: preparing the data again"
        report(damaged if path.exists() else "preparing the data, once")
        with writing_alone(path):
            # Another process may have built it while this one waited.
            store = _intact(path) or _build(data, path, report)
    return _accepted(store, data, report)


def is_prepared(data: DataConfig, cache: Path | None = None) -> bool:
    """Return whether :func:`prepare` would find the store of an earlier call.

    Args:
        data: The data set, which is not decoded.
        cache: Folder of the stores; None takes ``cache_folder()``.
    """
    if _given(data):
        return True
    try:
        path = _place(data, cache or cache_folder(), lambda line: None)
    except ConfigError:  # files are missing
        return False
    return _intact(path) is not None


def _intact(path: Path) -> Store | None:
    """Return the store of a folder, or None if it is missing or damaged."""
    try:
        return Store(path, verify=True)
    except ConfigError:
        return None


def _place(data: DataConfig, cache: Path, report: Report) -> Path:
    """Return the cache folder of a data set; for data of the Hub, that of the latest commit.

    If the Hub does not give the commit, return the store that was prepared last.
    """
    keys = [data.path, data.train, data.test, data.subset, data.image, data.label]
    if data.source is not Source.huggingface:
        keys = []
    content = [LAYOUT, data.source.value, data.size, data.storage.value, find_files(data), keys]
    if data.source is Source.synthetic:
        content.append(synthetic.VERSION)
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    path = cache / f"{data.source.value}-{data.size}px-{key}"
    if not (name := hub_name(data)):
        return path
    if commit := hub_commit(name):
        return path.with_name(f"{path.name}-{commit[:12]}")
    manifests = list(cache.glob(f"{path.name}*/manifest.json"))
    if manifests:
        report(f"data.path={name}: the Hub gave no commit; using the store prepared last")
    newest = max(manifests, key=lambda file: file.stat().st_mtime, default=path / "manifest.json")
    return newest.parent


def _given(data: DataConfig) -> Path | None:
    """Return ``data.path`` if it is a store, for example copied from another machine."""
    path = Path(data.path or "").expanduser().absolute()
    return path if data.path and (path / "manifest.json").is_file() else None


def _accepted(store: Store, data: DataConfig, report: Report) -> Store:
    """Return the store, and report broken images; raise if ``data.skip_broken`` is false."""
    broken, listed = count(len(store.skipped), "broken image"), f"see {store.path}/manifest.json"
    if store.skipped and not data.skip_broken:
        where, reason = next(iter(store.skipped.items()))
        raise ConfigError(
            f"{where}: cannot be decoded ({reason}); {broken}, {listed}; next step: skip them with "
            "data.skip_broken=true, or replace them, delete this data store and repeat the command"
        )
    if store.skipped:
        report(f"skipped {broken}, {listed}")
    return store


def _build(data: DataConfig, path: Path, report: Report) -> Store:
    partial = path.with_name(f"{path.name}.partial")
    # A killed build may have left this folder; the lock keeps other processes from writing to it.
    shutil.rmtree(partial, ignore_errors=True)
    scratch = partial / "scratch"
    scratch.mkdir(parents=True)
    try:
        source = import_module(f"ablations.data.{data.source.value}")
        build(source.read(data, path.parent, scratch, report), partial, data, report)
        shutil.rmtree(scratch)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Store(path)
