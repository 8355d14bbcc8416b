"""Parquet files in the Hugging Face image layout.

One column holds the images as a struct of ``bytes`` and ``path`` (or as plain bytes), one the
class numbers; names of the classes stand in the schema metadata under ``huggingface``.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ablations.config import ConfigError, DataConfig
from ablations.data.sources import Files, Images, Sample, Split

BATCH = 256  # rows decoded from a file at a time


class _Columns(NamedTuple):
    image: str
    label: str
    classes: list[str] | None


def read(data: DataConfig, files: Files, cache: Path) -> Images:
    """Read labels at once and images one after the other.

    Args:
        data: Not used; ``files`` are those of its patterns.
        files: Training and test files.
        cache: Not used.

    Raises:
        ConfigError: A file is not parquet, its columns or class names do not fit, or a label is
            missing or out of range.
    """
    columns = {file.path: _columns(file.path) for split in files for file in split}
    names = {tuple(c.classes) for c in columns.values() if c.classes is not None}
    if len(names) > 1:
        raise ConfigError(
            "the files of data.train and data.test name different classes; next step: give "
            f"files of one data set ({', '.join(columns)})"
        )
    labels = {path: _labels(path, column.label) for path, column in columns.items()}
    count = max(int(values.max(initial=-1)) for values in labels.values()) + 1
    classes = list(names.pop()) if names else [str(label) for label in range(count)]
    for path, values in labels.items():
        outside = np.flatnonzero((values < 0) | (values >= len(classes)))
        if len(outside):
            raise ConfigError(
                f"{path} row {outside[0]}: label {values[outside[0]]} is none of {len(classes)} "
                "classes; next step: give files with labels (a challenge's test files have none)"
            )
    train, test = (
        Split(
            np.concatenate([labels[file.path] for file in split]),
            (sample for file in split for sample in _samples(file.path, columns[file.path].image)),
        )
        for split in files
    )
    return Images(classes, train, test)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{path}: not a readable parquet file ({error}); next step: fetch or export it again"
        ) from None


def _columns(path: str) -> _Columns:
    with _reading(path):
        schema = pq.read_schema(path)
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    binary = [field.name for field in schema if _holds_bytes(field.type)]
    integer = [field.name for field in schema if pa.types.is_integer(field.type)]
    images = [name for name in binary if _kind(features, name) == "Image"]
    class_labels = [name for name in integer if _kind(features, name) == "ClassLabel"]
    image = next(iter(images + binary), None)
    label = "label" if "label" in integer else next(iter(class_labels + integer), None)
    if image is None or label is None:
        missing = "no images (bytes)" if image is None else "no integer labels"
        raise ConfigError(
            f"{path}: {missing} among the columns {', '.join(schema.names)}; next step: export "
            "the data set in the Hugging Face image layout"
        )
    return _Columns(image, label, features[label]["names"] if label in class_labels else None)


def _kind(features: dict[str, Any], column: str) -> str | None:
    feature = features.get(column)
    return feature.get("_type") if isinstance(feature, dict) else None


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _labels(path: str, column: str) -> np.ndarray:
    with _reading(path):
        labels = pq.read_table(path, columns=[column])[column]
    # A missing label is as unusable as the -1 of a challenge's test files.
    return pc.fill_null(labels.cast(pa.int64()), -1).to_numpy()


def _samples(path: str, column: str) -> Iterator[Sample]:
    row = 0
    with _reading(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=[column]):
            images = batch[column]
            if isinstance(images, pa.StructArray):
                images = images.field("bytes")
            for content in images.to_pylist():
                yield Sample(content or b"", f"{path} row {row}")
                row += 1
