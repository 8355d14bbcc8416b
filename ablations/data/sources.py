"""What a source hands over, and the files that it reads.

Files are found before anything is decoded: they name the store, so that the same files are never
decoded twice. This module must import within milliseconds.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ablations.config import ConfigError, DataConfig, Source

Report = Callable[[str], None]  # told in one line what is being done

# What tells the classes of ILSVRC-2012's validation images, which come in one folder.
ANSWERS = ("ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")


class Slice(NamedTuple):
    """Part of a file, such as a member of a tar file; offset and size in bytes."""

    path: str
    offset: int
    size: int


class Sample(NamedTuple):
    """One image as its source holds it.

    Attributes:
        content: Encoded bytes, where to read them, or pixels of shape (H, W, 3), uint8.
        where: File and row, for messages.
    """

    content: bytes | Path | Slice | np.ndarray
    where: str


@dataclass(frozen=True)
class Split:
    """The training or test images of a source.

    Attributes:
        labels: Class numbers, shape (N,), int64.
        samples: The N images in the order of ``labels``; read once.
    """

    labels: np.ndarray
    samples: Iterable[Sample]


@dataclass(frozen=True)
class Images:
    """All images of a source.

    Attributes:
        classes: Class names; a label is a position in this list.
        train: Training split.
        test: The official test split.
    """

    classes: list[str]
    train: Split
    test: Split


class File(NamedTuple):
    """A file or folder as it was found; size in bytes, time of last change in nanoseconds."""

    path: str
    size: int
    mtime: int


class Files(NamedTuple):
    """The files of both splits; none for sources that need no files of the user's."""

    train: list[File]
    test: list[File]


def find_files(data: DataConfig) -> Files:
    """List the files that the data set consists of.

    Raises:
        ConfigError: A file or folder is missing, or is given for training and for test.
    """
    match data.source:
        case Source.parquet:
            files = Files(_match("train", data.train), _match("test", data.test))
        case Source.image_folder:
            files = _folders(Path(data.root or "").expanduser().absolute())
        case Source.imagenet:
            files = _imagenet(Path(data.root or "").expanduser().absolute())
        case Source.synthetic | Source.cifar10:
            files = Files([], [])
    if shared := {file.path for file in files.train} & {file.path for file in files.test}:
        raise ConfigError(
            f"{min(shared)} is in data.train and in data.test; next step: give the two "
            "splits different files"
        )
    return files


def _match(key: str, patterns: list[str]) -> list[File]:
    paths: list[str] = []
    for pattern in patterns:
        pattern = os.path.abspath(os.path.expanduser(pattern))
        found = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern, recursive=True))
        found = [path for path in found if os.path.isfile(path)]
        if not found:
            raise ConfigError(
                f"data.{key}: no file matches {pattern}; next step: check the path (a relative "
                "one starts at the folder of the command)"
            )
        paths += found
    # Two patterns may match the same file; its rows count once.
    return [_file(path, os.stat(path)) for path in dict.fromkeys(paths)]


def _folders(root: Path) -> Files:
    train = root / "train"
    # Where both exist, `test/` holds the unlabelled images of a challenge.
    test = next((root / name for name in ("val", "test") if (root / name).is_dir()), root / "val")
    for folder in (train, test):
        if not folder.is_dir():
            raise ConfigError(
                f"data.root={root}: there is no folder {folder.name}/ in it; next step: put one "
                "folder of images per class into train/ and into val/ (or test/)"
            )
    return Files(_images_below(train), _images_below(test))


def _imagenet(root: Path) -> Files:
    """The form in which ILSVRC-2012 lies in a folder: tar files, unpacked, or parquet files.

    Of folders the time of change is noted, not of the 1.3 million files in them: to look at those
    takes minutes on the disks that hold such data, at every start of a run.
    """
    kaggle = root / "ILSVRC/Data/CLS-LOC"
    train = (
        _classes(root / "train")
        or _classes(kaggle / "train")
        or _present(root / "ILSVRC2012_img_train.tar")
    )
    test = _classes(root / "val")
    if not test:
        images = next((p for p in (root / "val", kaggle / "val") if p.is_dir()), None)
        test = _present(images or root / "ILSVRC2012_img_val.tar")
        answers = next((p for name in ANSWERS if (p := root / name).exists()), None)
        if test and not answers:
            raise ConfigError(
                f"data.root={root}: nothing there tells the classes of the validation images; "
                f"next step: add one of {', '.join(ANSWERS)}, or sort them into class folders"
            )
        test += _present(answers) if test and answers else []
    if not train and not test:
        train = [file for path in sorted(root.rglob("train-*.parquet")) for file in _present(path)]
        test = [file for path in sorted(root.rglob("val*-*.parquet")) for file in _present(path)]
    if not train or not test:
        raise ConfigError(
            f"data.root={root}: no {'validation' if train else 'training'} images of ImageNet "
            "there; next step: data.root=FOLDER with ILSVRC2012_img_train.tar, "
            "ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz, with train/ and val/ as "
            "unpacked from them, or with the parquet files of the Hugging Face hub"
        )
    return Files(train, test)


def _classes(split: Path) -> list[File]:
    """Class folders, or the tar files of classes, in the order of their names."""
    if not split.is_dir():
        return []
    with os.scandir(split) as entries:
        return sorted(
            _file(entry.path, entry.stat())
            for entry in entries
            if not entry.name.startswith(".") and (entry.is_dir() or entry.name.endswith(".tar"))
        )


def _present(path: Path) -> list[File]:
    return [_file(str(path), path.stat())] if path.exists() else []


def _images_below(split: Path) -> list[File]:
    """All images in the folders of a split, sorted by path."""
    with os.scandir(split) as entries:
        classes = [entry.path for entry in entries if entry.is_dir()]
    files = sorted(file for folder in classes for file in _walk(folder))
    if not files:
        raise ConfigError(
            f"{split}: no images in class folders below it; next step: put the images of each "
            f"class into a folder of its own ({' '.join(EXTENSIONS)})"
        )
    return files


def _walk(folder: str) -> Iterator[File]:
    with os.scandir(folder) as entries:
        for entry in entries:
            # Hidden files are the marks of file managers, not images.
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path)
            elif entry.name.lower().endswith(EXTENSIONS):
                yield _file(entry.path, entry.stat())


def _file(path: str, stat: os.stat_result) -> File:
    return File(path, stat.st_size, stat.st_mtime_ns)
