"""Read ILSVRC-2012 from the challenge's archives, class folders, or the Hub's parquet files.

Archives are unpacked once, into the folder that holds them. Except in parquet, images are sorted by
class and name, so that archives and folders give stores with the same fingerprint.
"""

import csv
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets import ImageFolder
from torchvision.datasets.imagenet import (
    load_meta_file,
    parse_devkit_archive,
    parse_train_archive,
    parse_val_archive,
)

from ablations.config import ConfigError, DataConfig, Source
from ablations.data import huggingface
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

Image = tuple[str, str]  # class, a WordNet id, and path


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> SourceData:
    """List the images in ``data.path``; the official validation images are the test split.

    Raises:
        ConfigError: An archive is damaged or cannot be unpacked, or a folder holds no images.
    """
    root = Path(data.path or "").expanduser().absolute()
    train, val = imagenet_files(data)
    if train[0].suffix == ".parquet":
        files = {"train": tuple(map(str, train)), "test": tuple(map(str, val))}
        parquet = replace(data, source=Source.huggingface, path=None, **files)
        return huggingface.read(parquet, cache, scratch, report)
    base = imagenet_base(root)
    try:
        words, val_wnids = _devkit(root, scratch)
        if train[0].name == TRAIN_TAR:
            _unpack(base / "train", TRAIN_TAR, parse_train_archive, report)
        if val[0].name == VAL_TAR:
            _unpack(base / "val", VAL_TAR, parse_val_archive, report, wnids=val_wnids)
        kaggle = val[-1].name == KAGGLE_LABELS
        train_images = _class_folders(base / "train")
        test_images = (
            _flat_folder(base / "val", val[-1]) if kaggle else _class_folders(base / "val")
        )
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise ConfigError(
            f"data.path={root}: cannot read or unpack ImageNet ({error}); next step: provide write "
            "access and 150 GB of free space there, or download damaged files again"
        ) from None
    classes = sorted({wnid for wnid, _ in [*train_images, *test_images]})
    return SourceData(
        "ImageNet (ILSVRC-2012)" if len(classes) == CLASSES else root.name,
        [words.get(wnid, wnid) for wnid in classes],
        _split(train_images, classes),
        _split(test_images, classes),
    )


def _split(images: list[Image], classes: list[str]) -> Split:
    number = {wnid: n for n, wnid in enumerate(classes)}
    labels = np.array([number[wnid] for wnid, _ in images], np.int64)
    return Split(labels, (Sample(Path(path), path) for _, path in images))


def _class_folders(folder: Path) -> list[Image]:
    found = ImageFolder(folder)
    return [(found.classes[label], path) for path, label in found.samples]


def _flat_folder(folder: Path, labels: Path) -> list[Image]:
    """Return the images of a folder with their classes in Kaggle's table, sorted by class."""
    with labels.open(newline="") as file:
        wnids = {row["ImageId"]: row["PredictionString"][:9] for row in csv.DictReader(file)}
    return sorted((wnids.get(path.stem, "no label"), str(path)) for path in folder.glob("[!.]*"))


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
    """Unpack an archive into ``folder`` unless that exists; the folder is complete or absent."""
    if folder.is_dir():
        return
    report(f"unpacking {archive}, once")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process
    parse(folder.parent, folder=partial.name, **options)
    partial.rename(folder)
