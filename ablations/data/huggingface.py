"""Read parquet files, image folders and data sets of the Hub with Hugging Face's ``datasets``.

Parquet files are read in place. Everything else is converted to Arrow files, which are deleted
once the store is built; downloads from the Hub stay in its cache (``$HF_HOME``). Images are read as
encoded bytes or paths, and decoded like those of the other sources.
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.dataset as arrow
from datasets import ClassLabel, Features, Image, Value, concatenate_datasets, load_dataset

from ablations.config import ConfigError, DataConfig
from ablations.data.sources import (
    Report,
    Sample,
    SourceData,
    Split,
    hub_commit,
    local_folder,
    parquet_files,
)
from ablations.data.stratified import stratified_order

TEST_SPLITS = ("test", "validation", "valid", "val")  # the first one with labels is used
TEST_SHARE = 6  # without a test split, one in this many training images becomes a test image
MOST_CLASSES = 100_000  # without class names; larger labels are not class numbers


def read(data: DataConfig, cache: Path, scratch: Path, report: Report) -> SourceData:
    """Read all labels, and return iterables that read the images.

    ``data.path`` is a folder, one or several parquet files, or the name of a data set of the Hub;
    ``data.train`` and ``data.test`` are parquet files or names of splits.

    Raises:
        ConfigError: The data cannot be loaded, or their splits, columns, class names or labels are
            invalid.
    """
    report(f"reading {data.path or data.train[0]}")
    # The libraries would also log the errors that they raise.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    if files := parquet_files(data):
        name = _name(files["train"])
        train, *rest = (_parquet(split, paths, data) for split, paths in files.items())
        return _images(name, train, rest[0] if rest else None, report)
    return _images(*_load(data, scratch), report)


class _Part:
    """The rows of a split, with all labels in memory.

    Args:
        rows: The rows, whose schema has the features of `datasets`.
        where: Name of the split, for messages.
        data: ``image`` and ``label`` name the columns; None detects them by type.

    Attributes:
        image: Name of the column of the images.
        labels: Values of the label column: class numbers, strings, or None.
        classes: Class names, if the files have them.
    """

    def __init__(self, rows: arrow.Dataset, where: str, data: DataConfig) -> None:
        self.rows, self.where = rows, where
        with _loading(where):
            features: dict[str, Any] = dict(Features.from_arrow_schema(rows.schema))
        images = [name for name, kind in features.items() if isinstance(kind, Image)]
        images = images or [name for name, kind in features.items() if _holds(kind, "binary")]
        classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
        classes = classes or [name for name, kind in features.items() if _holds(kind, "int")]
        self.image = _column("image", data.image, images, features, where)
        label = _column("label", data.label, classes, features, where)
        self.labels: list[int | str | None] = list(self._values(label, 10_000))
        self.classes: list[str] | None = getattr(features[label], "names", None)

    def _values(self, column: str, at_once: int) -> Iterator[Any]:
        # Nothing is read ahead, because the images may not fit into memory.
        batches = {"batch_size": at_once, "batch_readahead": 0, "fragment_readahead": 0}
        with _loading(self.where):
            for batch in self.rows.to_batches(columns=[column], **batches):
                yield from batch[column].to_pylist()

    def numbers(self, number_of: dict[Any, int]) -> np.ndarray:
        """Return the class number of each row, shape (N,), int64."""
        for row, label in enumerate(self.labels):
            if label not in number_of:
                raise ConfigError(
                    f"{self.where} row {row}: label {label} is not one of {len(number_of)} "
                    "classes; next step: use a split with labels (test images of challenges have "
                    "none)"
                )
        return np.array([number_of[label] for label in self.labels], np.int64)

    def samples(self) -> Iterator[Sample]:
        """Read the image of each row."""
        for row, image in enumerate(self._values(self.image, 256)):
            held = image if isinstance(image, dict) else {"bytes": image}
            if held["bytes"] is None and held.get("path") and os.path.isfile(held["path"]):
                yield Sample(Path(held["path"]), held["path"])
            else:
                yield Sample(held["bytes"] or b"", f"{self.where} row {row}")


# Loading


@contextmanager
def _loading(what: str, next_step: str = "download or export the data again") -> Iterator[None]:
    """Turn any error while data are loaded into a ConfigError of one line."""
    try:
        yield
    except Exception as error:  # of datasets, huggingface_hub, httpx, pyarrow, fsspec
        text = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"{what}: cannot be read ({text}); next step: {next_step}") from None


def _parquet(split: str, files: Sequence[str], data: DataConfig) -> _Part:
    where = files[0] if len(files) == 1 else f"{_name(files)} {split}"
    with _loading(where):
        rows = arrow.dataset(list(files), format="parquet")
    return _Part(rows, where, data)


def _load(data: DataConfig, scratch: Path) -> tuple[str, _Part, _Part | None]:
    """Load ``data.path``; return its name, the training split, and the test split if there is one.

    Test images of challenges are published without labels; such a split is skipped.
    """
    path, name, revision = str(data.path), str(data.path), None
    if folder := local_folder(data):
        path, name = str(folder), folder.name
        if path != glob.escape(path):
            raise ConfigError(
                f"data.path={data.path}: `datasets` treats *, ? and [ in a folder's name as a "
                "pattern; next step: rename the folder, or use a link to it"
            )
        next_step = "put the images of each class into train/CLASS/ and test/CLASS/"
    else:
        revision = hub_commit(name)
        next_step = (
            "check the name (a local path, or OWNER/NAME on the Hugging Face Hub) and the network; "
            "for gated data, run `hf auth login`"
        )
    next_step += "; if there are several configurations, set data.subset=NAME"
    with _loading(f"data.path={data.path}", next_step):
        loaded = load_dataset(path, data.subset, revision=revision, cache_dir=str(scratch))
    splits = {str(split): rows for split, rows in loaded.items()}

    def part(key: str, names: Sequence[str]) -> _Part:
        if unknown := [split for split in names if split not in splits]:
            raise ConfigError(
                f"data.{key}=[{','.join(unknown)}]: no such split in {name}; valid values: "
                f"{', '.join(splits)}; next step: set data.train=[SPLIT] data.test=[SPLIT]"
            )
        rows = concatenate_datasets([splits[split] for split in names])
        return _Part(arrow.dataset(rows.data.table), f"{name} {'+'.join(names)}", data)

    chosen = data.train or (["train"] if len(splits) > 1 else list(splits))
    train = part("train", chosen)
    if data.test:
        return name, train, part("test", data.test)
    for split in TEST_SPLITS:
        if split in splits and split not in chosen:
            test = part("test", [split])
            if set(test.labels) - {None, -1}:
                return name, train, test
    return name, train, None


def _name(files: Sequence[str]) -> str:
    """Name a data set after its first file, without split and shard, or after its folder."""
    path = Path(files[0]).absolute()
    stem = re.sub(r"(^|[-_.])(train|test|val)\w*|[-_.]?\d+-of-\d+", "", path.stem)
    folders = (folder.name for folder in path.parents if folder.name not in ("data", "train"))
    return stem or next(folders) or "data"


# Columns


def _holds(kind: Any, dtype: str) -> bool:
    """Return whether a column has values of a type, or structs with such ``bytes``."""
    kind = kind.get("bytes") if isinstance(kind, dict) else kind
    return isinstance(kind, Value) and dtype in kind.dtype


def _column(
    key: str, chosen: str | None, found: list[str], features: dict[str, Any], where: str
) -> str:
    """Return the chosen column or, if None, the column ``key`` or the only candidate."""
    candidates = [chosen] if chosen else [key] if key in found else found
    if len(candidates) == 1 and candidates[0] in features:
        return candidates[0]
    problem = f"no {key} column found"
    if candidates:
        problem = f"several columns may be the {key} ({', '.join(found)})"
    if chosen:
        problem = f"data.{key}={chosen}: no such column"
    raise ConfigError(
        f"{where}: {problem}; the columns are {', '.join(features)}; next step: set "
        f"data.{key}=COLUMN (for image folders: put the images of each class into train/CLASS/ and "
        "test/CLASS/)"
    )


# Labels


def _images(name: str, train: _Part, test: _Part | None, report: Report) -> SourceData:
    """Number the classes; without a test split, use some of the training images as one."""
    parts = [train, test] if test else [train]
    given = [part.classes for part in parts if part.classes]
    if given and given[0] != given[-1]:
        raise ConfigError(
            f"{' and '.join(part.where for part in parts)} have different class names; next step: "
            "use files of the same data set"
        )
    labels = [label for part in parts for label in part.labels]
    classes, number_of = _classes(labels, given[0] if given else None)
    numbers, *rest = (part.numbers(number_of) for part in parts)
    if test:
        return SourceData(
            name, classes, Split(numbers, train.samples()), Split(rest[0], test.samples())
        )
    chosen = np.zeros(len(numbers), bool)
    chosen[stratified_order(numbers)[: len(numbers) // TEST_SHARE]] = True
    report(
        f"{name} has no test split: {chosen.sum():,} of its {len(numbers):,} images are used as one"
    )
    splits = (Split(numbers[rows], compress(train.samples(), rows)) for rows in (~chosen, chosen))
    return SourceData(name, classes, *splits)


def _classes(
    labels: Sequence[int | str | None], names: list[str] | None
) -> tuple[list[str], dict[Any, int]]:
    """Return the names of the classes, and the class number of each valid label."""
    given = {label for label in labels if label is not None}
    if texts := sorted(label for label in given if isinstance(label, str)):
        return texts, {text: n for n, text in enumerate(texts)}
    count = max((int(label) for label in given), default=-1) + 1
    names = names or [str(n) for n in range(min(count, MOST_CLASSES))]
    return names, {n: n for n in range(len(names))}
