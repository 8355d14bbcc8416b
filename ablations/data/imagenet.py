"""Read ILSVRC-2012 from the challenge's archives, class folders, or the Hub's parquet files.

Archives are unpacked once, into the folder that holds them. Except in parquet, images are sorted by
class and name, so that archives and folders give stores with the same fingerprint.
"""

import csv
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from torchvision.datasets import ImageFolder
from torchvision.datasets.imagenet import (
    load_meta_file,
    parse_devkit_archive,
    parse_train_archive,
    parse_val_archive,
)

from ablations.config import ConfigError, DataConfig
from ablations.data.huggingface import read_files
from ablations.data.sources import (
    DEVKIT,
    KAGGLE_LABELS,
    TRAIN_TAR,
    VAL_TAR,
    Report,
    Sample,
    SourceData,
    Split,
    imagenet_base,
    imagenet_files,
)

CLASSES = 1000  # data with another number of classes are not named ImageNet
KAGGLE_WORDS = "LOC_synset_mapping.txt"


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> SourceData:
    """List the images in ``data.path``; the official validation images are the test split.

    Raises:
        ConfigError: An archive is damaged or cannot be unpacked, a folder holds no images, or a
            validation image has no class.
    """
    root = Path(data.path or "").expanduser().absolute()
    train, val = imagenet_files(data)
    if train[0].suffix == ".parquet":
        return read_files([*map(str, train)], [*map(str, val)], data, scratch)
    base = imagenet_base(root)
    try:
        words, val_wnids = _devkit(root, scratch)
        if (root / TRAIN_TAR).exists():
            _unpack(base / "train", TRAIN_TAR, parse_train_archive, report)
        if (root / VAL_TAR).exists():
            _unpack(base / "val", VAL_TAR, parse_val_archive, report, wnids=val_wnids)
        train_images = ImageFolder(base / "train")
        if any(path.is_dir() for path in (base / "val").iterdir()):
            found = ImageFolder(base / "val")
            test = [(path, found.classes[label]) for path, label in found.samples]
        else:
            test = _flat_folder(base / "val", root, val_wnids)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise ConfigError(
            f"data.path={root}: cannot read or unpack ImageNet ({error}); next step: provide write "
            "access and 150 GB of free space there, or download damaged files again"
        ) from None
    classes = train_images.classes
    number = train_images.class_to_idx
    for path, name in test:
        if name not in number:
            raise ConfigError(
                f"{path}: its class {name} has no training images; next step: check that {root} "
                "contains only ILSVRC-2012"
            )
    return SourceData(
        "ImageNet (ILSVRC-2012)" if len(classes) == CLASSES else root.name,
        [words.get(name, name) for name in classes],
        _split(train_images.samples),
        _split([(path, number[name]) for path, name in test]),
    )


def _split(images: list[tuple[str, int]]) -> Split:
    labels = np.array([label for _, label in images], np.int64)
    return Split(labels, (Sample(Path(path), path) for path, _ in images))


def _flat_folder(folder: Path, root: Path, val_wnids: list[str]) -> list[tuple[str, str]]:
    """Return path and class of each image in a folder without class folders, sorted by class."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    table = root / KAGGLE_LABELS
    if table.exists():
        with table.open(newline="") as file:
            rows = {row["ImageId"]: row["PredictionString"] for row in csv.DictReader(file)}
        classes = [rows.get(path.stem, "none").split()[0] for path in paths]
    elif len(paths) == len(val_wnids):
        classes = val_wnids
    else:
        raise ConfigError(
            f"{folder}: {len(paths)} images, but {len(val_wnids)} labels in {DEVKIT}; next step: "
            "unpack ILSVRC2012_img_val.tar again"
        )
    found = zip(map(str, paths), classes, strict=True)
    return sorted(found, key=lambda image: (image[1], image[0]))


def _devkit(root: Path, scratch: Path) -> tuple[dict[str, str], list[str]]:
    """Return the words of each WordNet id, and the WordNet id of each validation image."""
    words: dict[str, str] = {}
    val_wnids: list[str] = []
    if (root / DEVKIT).exists():
        (scratch / DEVKIT).symlink_to(root / DEVKIT)  # torchvision writes into its folder
        parse_devkit_archive(scratch)
        names, val_wnids = load_meta_file(scratch)
        words = {wnid: ", ".join(synonyms) for wnid, synonyms in names.items()}
    if (root / KAGGLE_WORDS).exists():
        lines = (root / KAGGLE_WORDS).read_text(encoding="utf-8")
        words |= dict(re.findall(r"^(n\d{8})\s+(.+?)\s*$", lines, re.M))
    return words, val_wnids


def _unpack(
    folder: Path, archive: str, parse: Callable[..., None], report: Report, **options: Any
) -> None:
    """Unpack an archive into ``folder`` unless that exists; the folder is complete or absent.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
        RuntimeError: The archive is damaged.
    """
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():  # unpacked by another process
            return
        report(f"unpacking {archive}, once")
        try:
            shutil.rmtree(partial, ignore_errors=True)  # of a killed process
            parse(folder.parent, folder=partial.name, **options)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
