"""Define what a source returns, and find the local files or the Hub's data set that it reads.

Files are found before anything is decoded, because a store is named after them: an existing store
is then found without decoding. This module must import within milliseconds.

The module of each source has a function ``read(data, cache, scratch, report)``, which returns
:class:`SourceData`. ``cache`` is the folder for downloads, ``scratch`` a folder for temporary files
that lasts until the images are read, and ``report`` is called with lines of progress.
"""

import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ablations.config import ConfigError, DataConfig, Source

Report = Callable[[str], None]  # called with lines of progress

# Numbers of training and test images of the data sets whose size is fixed.
IMAGES = {Source.imagenet: (1_281_167, 50_000), Source.cifar10: (50_000, 10_000)}

HUB_SECONDS = 5.0  # timeout of a request to the Hub

CIFAR10_FILES = ("cifar-10-python.tar.gz", "cifar-10-batches-py")  # the archive and its folder
# The challenge's files, and the image folder in Kaggle's archive.
TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, KAGGLE_LABELS = "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv"
KAGGLE_FOLDER = "ILSVRC/Data/CLS-LOC"


class Sample(NamedTuple):
    """One image in the form of its source.

    Attributes:
        content: Encoded bytes, the path of a file, or pixels of shape (H, W, 3), uint8.
        where: File or row, for messages.
    """

    content: bytes | Path | np.ndarray
    where: str


@dataclass(frozen=True)
class Split:
    """The training or test images of a source.

    Attributes:
        labels: Class numbers, shape (N,), int64.
        samples: The N images in the order of ``labels``; iterable once.
    """

    labels: np.ndarray
    samples: Iterable[Sample]


@dataclass(frozen=True)
class SourceData:
    """All images of a source.

    Attributes:
        name: Name of the data set, for tables and records.
        classes: Class names; a label is a position in this list.
        train: Training split.
        test: Test split.
    """

    name: str
    classes: list[str]
    train: Split
    test: Split


def find_files(data: DataConfig) -> list[tuple[str, int, int]]:
    """List the local files and folders of a data set, without downloads.

    Returns:
        Path, size in bytes and modification time in nanoseconds of each.

    Raises:
        ConfigError: A file or folder is missing or of another source, or a file is in both splits.
        OSError: A file is a broken link.
    """
    match data.source:
        case Source.imagenet:
            return [_stamp(path) for split in imagenet_files(data) for path in split]
        case Source.huggingface:
            if files := parquet_files(data):
                return [_stamp(path) for split in files.values() for path in split]
            if folder := local_folder(data):
                found = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
                return sorted(_stamp(path) for path in found)
        case Source.cifar10 if data.path:
            folder = Path(data.path).expanduser()
            if not any((folder / name).exists() for name in CIFAR10_FILES):
                raise ConfigError(
                    f"data.path={data.path}: has no {CIFAR10_FILES[0]}, which data.source=cifar10 "
                    "reads; next step: put it into that folder, or add data.source=huggingface to "
                    "read other images"
                )
    return []


def parquet_files(data: DataConfig) -> dict[str, list[str]]:
    """Return the parquet files of each split; empty for a folder or a data set of the Hub.

    Raises:
        ConfigError: A pattern matches no file, or a file is in both splits.
    """
    if data.files_given:
        train, test = _match("train", data.train), _match("test", data.test)
        if shared := set(train) & set(test):
            raise ConfigError(
                f"{min(shared)}: in both data.train and data.test; next step: use different files "
                "for the two splits"
            )
        return {"train": train, "test": test}
    if local_folder(data) or hub_name(data):
        return {}
    return {"train": _match("path", [data.path or ""])}


def local_folder(data: DataConfig) -> Path | None:
    """Return ``data.path`` as an absolute path if it is a folder, else None."""
    folder = Path(data.path or "").expanduser().absolute()
    return folder if data.path and folder.is_dir() else None


def hub_name(data: DataConfig) -> str | None:
    """Return the name of a data set of the Hub, or None for local data, which take precedence."""
    path = data.path or ""
    if data.source is not Source.huggingface or data.files_given or os.path.exists(path):
        return None
    name = re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", path)
    return path if name and not path.endswith(".parquet") else None


@cache
def hub_commit(name: str) -> str | None:
    """Return the latest commit of a data set of the Hub, the same for all runs of a command.

    Args:
        name: ``OWNER/NAME``.

    Returns:
        The commit, or None if the Hub does not answer.
    """
    from huggingface_hub import HfApi  # takes half a second, and local data do not need it

    try:
        return HfApi().dataset_info(name, timeout=HUB_SECONDS).sha
    except Exception:  # huggingface_hub and httpx raise many types
        return None


def _match(key: str, patterns: Sequence[str]) -> list[str]:
    """Return the absolute paths of matching files, each once, in the order of the patterns.

    Args:
        key: Name of the key in ``data``, for messages.
        patterns: Paths; ``*`` and ``**`` are allowed.
    """
    paths: list[str] = []
    for pattern in patterns:
        pattern = os.path.abspath(os.path.expanduser(pattern))
        found = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
        if not (files := sorted(filter(os.path.isfile, found))):
            raise ConfigError(
                f"data.{key}: no file matches {pattern}; next step: check the path (relative paths "
                "start at the folder where the command was started)"
            )
        paths += files
    return list(dict.fromkeys(paths))


def imagenet_files(data: DataConfig) -> tuple[list[Path], list[Path]]:
    """Find ILSVRC-2012 in ``data.path``: archives, class folders, or parquet files.

    Class folders are listed without the 1.3 million files in them, because reading their
    modification times would delay every run.

    Returns:
        Paths for the training images, and for the validation images and their labels. Archives take
        precedence over folders, which are unpacked from them later.

    Raises:
        ConfigError: Something is missing.
    """
    root = Path(data.path or "").expanduser().absolute()
    base = imagenet_base(root)
    train = _existing(root / TRAIN_TAR) or _class_folders(base / "train")
    # The archive and Kaggle's folder do not have the classes of their images.
    val = (
        _existing(root / VAL_TAR, root / DEVKIT)
        or _existing(base / "val", root / KAGGLE_LABELS)
        or _class_folders(base / "val")
    )
    if not train and not val:
        train, val = sorted(root.rglob("train-*.parquet")), sorted(root.rglob("val*-*.parquet"))
    if not data.path or not train or not val:
        missing = "validation images with labels" if train else "training images"
        raise ConfigError(
            f"data.path={data.path}: no {missing} of ImageNet found; next step: use a data.path "
            f"with {TRAIN_TAR}, {VAL_TAR} and {DEVKIT}, with train/CLASS/ and val/CLASS/, with "
            f"Kaggle's folders and {KAGGLE_LABELS}, or with the parquet files of "
            "ILSVRC/imagenet-1k from the Hugging Face Hub"
        )
    return train, val


def imagenet_base(root: Path) -> Path:
    """Return the folder of ``train/`` and ``val/``: Kaggle's subfolder if there, else ``root``."""
    return root / KAGGLE_FOLDER if (root / KAGGLE_FOLDER).is_dir() else root


def _existing(*paths: Path) -> list[Path]:
    """Return the paths if all of them exist, else an empty list."""
    return list(paths) if all(path.exists() for path in paths) else []


def _class_folders(split: Path) -> list[Path]:
    folders = sorted(split.iterdir()) if split.is_dir() else []
    return [path for path in folders if path.is_dir() and not path.name.startswith(".")]


def _stamp(path: str | Path) -> tuple[str, int, int]:
    stat = os.stat(path)
    return str(path), stat.st_size, stat.st_mtime_ns
