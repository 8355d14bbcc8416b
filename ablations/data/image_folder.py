"""A tree with one folder of images per class, or Tiny ImageNet as its zip file unpacks."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablations.config import ConfigError, DataConfig
from ablations.data.sources import File, Files, Images, Sample, Split

# Of Tiny ImageNet's validation images, which lie in one folder: name, class and a box per line.
ANNOTATIONS = "val/val_annotations.txt"
# Both write a WordNet number and the words for it in each line.
WORDS = ("LOC_synset_mapping.txt", "words.txt")


def read(data: DataConfig, files: Files, cache: Path) -> Images:
    """Read ``train/CLASS/...`` and ``val/CLASS/...``; class numbers follow the sorted names.

    Args:
        data: Its ``root`` is the folder that holds the splits.
        files: As found below ``root``.
        cache: Not used.

    Raises:
        ConfigError: A test folder is named after no training class.
    """
    root = Path(data.root or "").expanduser().absolute()
    depth = len(root.parts) + 1
    train = [_part(file, depth) for file in files.train]
    answers = _annotations(root / ANNOTATIONS)
    test = [answers.get(Path(file.path).name) or _part(file, depth) for file in files.test]
    classes = sorted(set(train))
    if unknown := sorted(set(test) - set(classes)):
        raise ConfigError(
            f"data.root={root}: test images lie in folders that are no training class: "
            f"{', '.join(unknown[:5])}; next step: sort them into one folder per class, named as "
            "in train/"
        )
    names = words(root)
    return Images(
        [names.get(name, name) for name in classes],
        _split(files.train, train, classes),
        _split(files.test, test, classes),
    )


def words(root: Path) -> dict[str, str]:
    """What WordNet numbers mean, where a file in the folder tells."""
    path = next((p for name in WORDS if (p := root / name).is_file()), None)
    text = path.read_text(encoding="utf-8") if path else ""
    return dict(re.findall(r"^(n\d{8})\s+(.+?)\s*$", text, re.M))


def _annotations(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return dict(line.split("\t")[:2] for line in lines if line)


def _part(file: File, depth: int) -> str:
    return file.path.split(os.sep, depth + 1)[depth]


def _split(files: Sequence[File], names: list[str], classes: list[str]) -> Split:
    number = {name: label for label, name in enumerate(classes)}
    labels = np.array([number[name] for name in names], np.int64)
    return Split(labels, (Sample(Path(file.path), file.path) for file in files))
