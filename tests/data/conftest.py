import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ablations.config import Dataset, Source
from ablations.data import synthetic

Encode = Callable[..., bytes]
WriteParquet = Callable[..., str]


@pytest.fixture
def encode() -> Encode:
    def encode(pixels: np.ndarray, form: str = "PNG", mode: str | None = None, **options) -> bytes:
        image, file = Image.fromarray(pixels), io.BytesIO()
        (image.convert(mode) if mode else image).save(file, form, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def write_parquet(tmp_path: Path) -> WriteParquet:
    def write_parquet(
        name: str,
        images: Sequence[bytes | None],
        labels: Sequence[int | None],
        classes: Sequence[str] | None = None,
        column: str = "image",
        label: str = "label",
    ) -> str:
        structs = [{"bytes": content, "path": "x.png"} for content in images]
        table = pa.table(
            {
                column: pa.array(structs, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
                label: pa.array(labels, pa.int64()),
            }
        )
        if classes:
            kinds = {
                column: {"_type": "Image"},
                label: {"_type": "ClassLabel", "names": list(classes)},
            }
            metadata = {"huggingface": json.dumps({"info": {"features": kinds}})}
            table = table.replace_schema_metadata(metadata)
        pq.write_table(table, tmp_path / name)
        return str(tmp_path / name)

    return write_parquet


@pytest.fixture
def shades(encode: Encode) -> list[bytes]:
    """Eight one-coloured 8 x 8 images; the value of image n is 10 n in every channel."""
    return [encode(np.full((8, 8, 3), 10 * n, np.uint8)) for n in range(8)]


@pytest.fixture
def shades_dataset(shades: list[bytes], write_parquet: WriteParquet) -> Dataset:
    """Six training images of classes 0 1 0 1 0 1, and the last two shades as test images."""
    train = write_parquet("train.parquet", shades[:6], [0, 1, 0, 1, 0, 1], ["even", "odd"])
    test = write_parquet("test.parquet", shades[6:], [0, 1], ["even", "odd"])
    return Dataset(source=Source.parquet, train=[train], test=[test], size=8, crop=8)


@pytest.fixture
def few_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrink the built-in data set to 60 + 20 images."""
    monkeypatch.setattr(synthetic, "TRAIN_IMAGES", 60)
    monkeypatch.setattr(synthetic, "TEST_IMAGES", 20)
