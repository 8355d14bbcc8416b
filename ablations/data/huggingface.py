"""Images through Hugging Face's ``datasets``: parquet files, image folders, data sets of the hub.

``datasets`` copies what it reads into Arrow files, which are deleted once the store is built;
downloads from the hub stay in its own cache (``$HF_HOME``). Images are taken from the Arrow columns
as they are, encoded bytes or paths (``decode=False``), and decoded like those of all sources.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
from datasets import ClassLabel, Image, Value, concatenate_datasets, load_dataset

from ablations.config import ConfigError, DataConfig
from ablations.data.sources import (
    Images,
    Report,
    Sample,
    Split,
    is_hub_name,
    local_folder,
    match_files,
)
from ablations.data.stratified import stratified_order

BATCH = 256  # rows converted from Arrow at a time
TEST_SPLITS = ("test", "validation", "valid", "val")  # the first of them that has labels is taken
TEST_SHARE = 6  # without one of them, one training image of this many becomes a test image

Rows = Any  # a Dataset of `datasets`, or an IterableDataset


@dataclass(frozen=True)
class _Part:
    """The rows of a split, and what is known about them.

    Attributes:
        rows: All columns.
        image: Column of the images.
        labels: Values of the label column: class numbers, texts, or None.
        classes: Names of the classes, if the files have them.
        where: Name of the split, for messages.
    """

    rows: Rows
    image: str
    labels: list[int | str | None]
    classes: list[str] | None
    where: str


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> Images:
    """Read all labels, and prepare to read the images one after the other.

    Args:
        data: Its ``train`` and ``test`` are files, or splits of ``path``; ``path`` is a folder, one
            or several files, or the name of a data set of the hub.
        cache: Not used.
        scratch: Folder for Arrow files; it must exist until the images are read.
        report: Called with one line on what is being done.

    Raises:
        ConfigError: The data cannot be loaded, or their splits, columns, class names or labels do
            not fit.
    """
    if data.files_given:
        return read_files(
            match_files("train", data.train), match_files("test", data.test), data, scratch
        )
    report(f"reading {data.path}")
    splits, name = _load_splits(data, scratch)
    train, test = _choose(data, splits, name)
    if test is None:
        return _cut(train, name, report)
    return _images(train, test, name)


def read_files(
    train: Sequence[str],
    test: Sequence[str],
    data: DataConfig,
    scratch: Path,
    *,
    streaming: bool = False,
) -> Images:
    """Read the files of each split, as :func:`read`.

    Args:
        train: Paths of the training files.
        test: Paths of the test files.
        data: Its ``image`` and ``label`` name the columns; None finds them.
        scratch: Folder for Arrow files.
        streaming: Read parquet files where they are, without a copy in Arrow files.

    Raises:
        ConfigError: As :func:`read`.
    """
    parts, name = [], _name(train)
    for split, files in (("train", train), ("test", test)):
        where = files[0] if len(files) == 1 else f"{name} {split}"
        rows = _load_files(files, scratch, streaming)
        # A stream reads all columns unless its loader is told.
        load = partial(_load_files, files, scratch, streaming) if streaming else None
        parts.append(_part(rows, where, data, load))
    return _images(parts[0], parts[1], name)


# Loading


@contextmanager
def _loading(what: str, next_step: str) -> Iterator[None]:
    """Turn whatever goes wrong while data are loaded into one line."""
    # Errors arrive as exceptions; the libraries would log them a second time.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    except Exception as error:  # of datasets, huggingface_hub, httpx, pyarrow, fsspec
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ConfigError(
                f"{what}: the disk is full; next step: make room, or choose a larger disk with "
                "cache=FOLDER, and for downloads from the hub with HF_HOME=FOLDER"
            ) from None
        text = " ".join(str(cause).split()) or type(cause).__name__
        raise ConfigError(f"{what}: cannot be read ({text}); next step: {next_step}") from None


def _load_files(
    files: Sequence[str],
    scratch: Path,
    streaming: bool = False,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Load files as one split."""
    options: dict[str, Any] = {"streaming": streaming, "cache_dir": str(scratch)}
    if columns:
        options["columns"] = list(columns)
    module = "imagefolder"
    if files[0].endswith(".parquet"):
        module = "parquet"
        for file in files:
            with _loading(file, "download or export this parquet file again"):
                pq.read_schema(file)
    with _loading(", ".join(files), "check that these files have the same columns"):
        return load_dataset(module, data_files={"train": list(files)}, split="train", **options)


def _load_splits(data: DataConfig, scratch: Path) -> tuple[dict[str, Rows], str]:
    """Load all splits of ``data.path``; return them by name, and the name of the data set."""
    path = str(data.path)
    if folder := local_folder(data):
        path, name = str(folder), folder.name
        next_step = (
            "put the images of each class into train/CLASS/ and test/CLASS/; several "
            "configurations need data.subset=NAME"
        )
    elif is_hub_name(data):
        name = path
        next_step = (
            "check the name, which is a local path or OWNER/NAME on the Hugging Face hub, and the "
            "network; several configurations need data.subset=NAME, gated data `hf auth login`"
        )
    else:
        files = match_files("path", [path])
        return {"train": _load_files(files, scratch)}, _name(files)
    with _loading(f"data.path={data.path}", next_step):
        splits = load_dataset(path, data.subset, cache_dir=str(scratch))
    return {str(split): rows for split, rows in splits.items()}, name


def _name(files: Sequence[str]) -> str:
    """Name a data set after its first file, without split and shard, or after its folder."""
    path = Path(files[0]).absolute()
    stem = re.sub(r"(^|[-_.])(train|test|val)\w*|[-_.]?\d+-of-\d+", "", path.stem)
    folders = (folder.name for folder in path.parents if folder.name not in ("data", "train"))
    return stem or next(folders) or "data"


# Columns and splits


def _part(
    rows: Rows, where: str, data: DataConfig, load: Callable[[list[str]], Rows] | None = None
) -> _Part:
    """Find the columns of a split and read its labels, with ``load`` where it is given."""
    features: dict[str, Any] = dict(rows.features)
    images = [name for name, kind in features.items() if isinstance(kind, Image)]
    images = images or [name for name, kind in features.items() if _holds_bytes(kind)]
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    classes = classes or [name for name, kind in features.items() if _holds(kind, "int")]
    image = _column("image", data.image, images, features, where)
    label = _column("label", data.label, classes, features, where)
    with _loading(where, "download or export the data again"):
        labelled = load([label]) if load else rows.select_columns([label])
        tables = labelled.with_format("arrow").iter(10_000)
        labels = [value for table in tables for value in table[label].to_pylist()]
    return _Part(rows, image, labels, getattr(features[label], "names", None), where)


def _holds(kind: Any, dtype: str) -> bool:
    return isinstance(kind, Value) and dtype in kind.dtype


def _holds_bytes(kind: Any) -> bool:
    return _holds(kind.get("bytes") if isinstance(kind, dict) else kind, "binary")


def _column(
    key: str, chosen: str | None, found: list[str], features: dict[str, Any], where: str
) -> str:
    """Return the column that was chosen, or the one that can be meant."""
    if chosen in features:
        return str(chosen)
    if chosen is None and key in found:
        return key
    if chosen is None and len(found) == 1:
        return found[0]
    problem = f"data.{key}={chosen}: no such column" if chosen else f"no {key} column is found"
    if chosen is None and found:
        problem = f"several columns may be the {key} ({', '.join(found)})"
    raise ConfigError(
        f"{where}: {problem}; the columns are {', '.join(features)}; next step: data.{key}=COLUMN "
        "(for image folders: the images of each class in train/CLASS/ and test/CLASS/)"
    )


def _choose(data: DataConfig, splits: dict[str, Rows], name: str) -> tuple[_Part, _Part | None]:
    """Return the training split and the test split, if there is one."""

    def part(key: str, names: Sequence[str]) -> _Part:
        if unknown := [split for split in names if split not in splits]:
            raise ConfigError(
                f"data.{key}=[{','.join(unknown)}]: {name} has the splits {', '.join(splits)}"
            )
        rows = [splits[split] for split in names]
        rows = rows[0] if len(rows) == 1 else concatenate_datasets(rows)
        return _part(rows, f"{name} {'+'.join(names)}", data)

    if data.train:
        return part("train", data.train), part("test", data.test)
    if "train" not in splits and len(splits) > 1:
        raise ConfigError(
            f"data.path={data.path}: has the splits {', '.join(splits)}, none of them called "
            "train; next step: data.train=[SPLIT] data.test=[SPLIT]"
        )
    chosen = "train" if "train" in splits else next(iter(splits))
    for split in TEST_SPLITS:
        if split in splits and split != chosen:
            test = part("test", [split])
            if set(test.labels) - {None, -1}:  # challenges publish test images without labels
                return part("train", [chosen]), test
    return part("train", [chosen]), None


# Labels and images


def _images(train: _Part, test: _Part, name: str) -> Images:
    if train.classes and test.classes and train.classes != test.classes:
        raise ConfigError(
            f"{train.where} and {test.where} name different classes; next step: give files of one "
            "data set"
        )
    names = train.classes or test.classes
    classes, number = _classes([*train.labels, *test.labels], names)
    train_split, test_split = (
        Split(_numbers(part, number), _samples(part, np.arange(len(part.labels))))
        for part in (train, test)
    )
    return Images(name, classes, train_split, test_split)


def _cut(part: _Part, name: str, report: Report) -> Images:
    """Cut a test split from the only split."""
    classes, number = _classes(part.labels, part.classes)
    labels = _numbers(part, number)
    order = stratified_order(labels)
    test, train = (np.sort(rows) for rows in np.split(order, [len(order) // TEST_SHARE]))
    report(f"{name} has no test split: {len(test):,} of its {len(order):,} images are cut for it")
    train_split, test_split = (Split(labels[rows], _samples(part, rows)) for rows in (train, test))
    return Images(name, classes, train_split, test_split)


def _classes(
    labels: Sequence[int | str | None], names: list[str] | None
) -> tuple[list[str], dict[Any, int]]:
    """Return the names of the classes, and the class number of each valid label."""
    given = {label for label in labels if label is not None}
    if texts := sorted(label for label in given if isinstance(label, str)):
        return texts, {text: n for n, text in enumerate(texts)}
    count = max((int(label) for label in given), default=-1) + 1
    names = names or [str(n) for n in range(count)]
    return names, {n: n for n in range(len(names))}


def _numbers(part: _Part, number: dict[Any, int]) -> np.ndarray:
    for row, label in enumerate(part.labels):
        if label not in number:
            raise ConfigError(
                f"{part.where} row {row}: label {label} is none of {len(number)} classes; next "
                "step: give data with labels (a challenge's test images have none)"
            )
    return np.array([number[label] for label in part.labels], np.int64)


def _samples(part: _Part, numbers: np.ndarray) -> Iterator[Sample]:
    """Yield the images of some rows, which are ascending."""
    rows = part.rows if len(numbers) == len(part.labels) else part.rows.select(numbers)
    where = iter(numbers.tolist())
    with _loading(part.where, "download or export the data again"):
        for table in rows.select_columns([part.image]).with_format("arrow").iter(BATCH):
            for image in table[part.image].to_pylist():
                held = image if isinstance(image, dict) else {"bytes": image}
                row = f"{part.where} row {next(where)}"
                if held["bytes"] is None and held.get("path") and os.path.isfile(held["path"]):
                    yield Sample(Path(held["path"]), held["path"])
                else:
                    yield Sample(held["bytes"] or b"", row)
