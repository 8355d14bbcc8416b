"""A tree with one folder of images per class, as ImageNet is usually unpacked."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablations.config import ConfigError, Dataset
from ablations.data.sources import File, Files, Images, Sample, Split


def read(dataset: Dataset, files: Files, cache: Path) -> Images:
    """Read ``train/CLASS/...`` and ``val/CLASS/...``; class numbers follow the sorted names.

    Args:
        dataset: Its ``root`` is the folder that holds the splits.
        files: As found below ``root``.
        cache: Not used.

    Raises:
        ConfigError: A test folder is named after no training class.
    """
    depth = len(Path(dataset.root or "").expanduser().absolute().parts) + 1
    train, test = ([_part(file, depth) for file in split] for split in files)
    classes = sorted(set(train))
    if unknown := sorted(set(test) - set(classes)):
        raise ConfigError(
            f"dataset.root={dataset.root}: test images lie in folders that are no training class: "
            f"{', '.join(unknown[:5])}; next step: sort them into one folder per class, named as "
            "in train/"
        )
    return Images(classes, _split(files.train, train, classes), _split(files.test, test, classes))


def _part(file: File, depth: int) -> str:
    return file.path.split(os.sep, depth + 1)[depth]


def _split(files: Sequence[File], names: list[str], classes: list[str]) -> Split:
    number = {name: label for label, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int64)
    return Split(labels, (Sample(Path(file.path), file.path) for file in files))
