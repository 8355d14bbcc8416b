"""ILSVRC-2012 as it comes: the challenge's tar files, the same unpacked, or the hub's parquet.

Images are ordered by class and name in every form but parquet, so that a store made from the tar
files bears the fingerprint of one made from the folders.
"""

import csv
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat

from ablations.config import ConfigError, DataConfig
from ablations.data import image_folder, parquet
from ablations.data.sources import ANSWERS, File, Files, Images, Sample, Slice, Split

GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
SYNSETS = "data/meta.mat"


class _Image(NamedTuple):
    """An image; compared by class and name, which are never the same twice."""

    label: str
    name: str
    sample: Sample


class _Answers(NamedTuple):
    """Class of each validation image by its name without extension, and words for classes."""

    classes: dict[str, str]
    words: dict[str, str]


def read(data: DataConfig, files: Files, cache: Path) -> Images:
    """List the images of both splits; the official validation images are the test split.

    Args:
        data: Its ``root`` may hold a file with the words for the classes.
        files: As found in ``root``.
        cache: Not used.

    Raises:
        ConfigError: A tar file is incomplete, or a validation image has no class.
    """
    if files.train[0].path.endswith(".parquet"):
        return parquet.read(data, files, cache)
    answers = _Answers({}, {})
    if files.test[-1].path.endswith(ANSWERS):
        answers = _answers(Path(files.test[-1].path))
        files = Files(files.train, files.test[:-1])
    train = sorted(image for file in files.train for image in _images(file))
    test = sorted(
        image._replace(label=answers.classes.get(image.name.partition(".")[0], image.label))
        for file in files.test
        for image in _images(file)
    )
    classes = sorted({image.label for image in train})
    number = {name: label for label, name in enumerate(classes)}
    for image in test:
        if image.label not in number:
            raise ConfigError(
                f"{image.sample.where}: its class ({image.label}) has no training images; next "
                "step: check that all of data.root is of ILSVRC-2012"
            )
    words = {**answers.words, **image_folder.words(Path(data.root or "").expanduser())}
    return Images(
        [words.get(name, name) for name in classes], _split(train, number), _split(test, number)
    )


def _split(images: list[_Image], number: dict[str, int]) -> Split:
    labels = np.array([number[image.label] for image in images], np.int64)
    return Split(labels, (image.sample for image in images))


def _images(file: File) -> Iterator[_Image]:
    """The images in a folder or tar file, or in the tar files that a tar file holds."""
    path = Path(file.path)
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                if not name.startswith("."):
                    content = Path(folder, name)
                    relative = str(content.relative_to(path))
                    yield _Image(path.name, relative, Sample(content, str(content)))
        return
    with path.open("rb") as source:
        try:
            yield from _members(source, path, path.stem, start=0)
        except tarfile.TarError as error:
            raise ConfigError(
                f"{path}: not a complete tar file ({error}); next step: download it again"
            ) from None


def _members(source: io.BufferedReader, path: Path, label: str, start: int) -> Iterator[_Image]:
    source.seek(start)
    with tarfile.open(fileobj=source, mode="r:") as tar:
        for member in tar:
            name = os.path.basename(member.name)
            if not member.isfile() or name.startswith("."):
                continue
            if name.endswith(".tar"):
                yield from _members(source, path, Path(name).stem, member.offset_data)
            else:
                part = Slice(str(path), member.offset_data, member.size)
                yield _Image(label, name, Sample(part, f"{path}: {label}/{name}"))


def _answers(path: Path) -> _Answers:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = csv.DictReader(file)
            return _Answers({r["ImageId"]: r["PredictionString"].split()[0] for r in rows}, {})
    try:
        truth, synsets = (_devkit_file(path, name) for name in (GROUND_TRUTH, SYNSETS))
    except (OSError, tarfile.TarError) as error:
        raise ConfigError(
            f"{path}: not the development kit of ILSVRC-2012 ({error}); next step: download "
            "ILSVRC2012_devkit_t12.tar.gz again"
        ) from None
    table = loadmat(io.BytesIO(synsets), squeeze_me=True)["synsets"]
    label = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    words = {str(row["WNID"]): str(row["words"]) for row in table}
    numbers = [int(line) for line in truth.split()]
    names = (f"ILSVRC2012_val_{n:08d}" for n in range(1, len(numbers) + 1))
    return _Answers({name: label[n] for name, n in zip(names, numbers, strict=True)}, words)


def _devkit_file(path: Path, name: str) -> bytes:
    if path.is_dir():
        return (path / name).read_bytes()
    with tarfile.open(path) as tar:
        member = next((m for m in tar if m.name.endswith(name)), None)
        if member is None:
            raise tarfile.TarError(f"without {name}")
        return tar.extractfile(member).read()  # type: ignore[union-attr]
