import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ablations.config import DataConfig, Source, Storage
from ablations.data import synthetic
from ablations.data.store import Store, prepare

Encode = Callable[..., bytes]
WriteParquet = Callable[..., str]


def _encode(pixels: np.ndarray, form: str = "PNG", mode: str | None = None, **options) -> bytes:
    image, file = Image.fromarray(pixels), io.BytesIO()
    (image.convert(mode) if mode else image).save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def encode() -> Encode:
    """Encodes pixels of shape (H, W, 3), uint8."""
    return _encode


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
    """Eight images of 8 x 8 pixels; all values of image n are 10 * n."""
    return [encode(np.full((8, 8, 3), 10 * n, np.uint8)) for n in range(8)]


@pytest.fixture
def shades_dataset(shades: list[bytes], write_parquet: WriteParquet) -> DataConfig:
    """Six training images with classes 0 1 0 1 0 1, and two test images."""
    train = write_parquet("train.parquet", shades[:6], [0, 1, 0, 1, 0, 1], ["even", "odd"])
    test = write_parquet("test.parquet", shades[6:], [0, 1], ["even", "odd"])
    return DataConfig(source=Source.huggingface, train=(train,), test=(test,), size=8, crop=8)


@pytest.fixture
def few_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrink the built-in data set to 60 + 20 images."""
    monkeypatch.setattr(synthetic, "TRAIN_IMAGES", 60)
    monkeypatch.setattr(synthetic, "TEST_IMAGES", 20)


# ImageNet in miniature

WNIDS = ("n01440764", "n01443537", "n02084071")


def _photograph(seed: int) -> bytes:
    """Return a JPEG file with smooth colors and noise, in ImageNet's typical size."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(int)
    pixels = (smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
    return _encode(pixels, "JPEG")


@pytest.fixture(scope="session")
def photographs() -> dict[str, bytes]:
    """Thirteen training images, two of them broken, and three test images of three classes."""
    cat, fish, dog = (f"train/{wnid}/{wnid}" for wnid in WNIDS)
    names = [f"{name}_{n}.JPEG" for name in (cat, fish, dog) for n in (1, 2, 3, 4)]
    files = {name: _photograph(seed) for seed, name in enumerate([*names, f"{dog}_5.JPEG"])}
    files[f"{dog}_3.JPEG"] = files[f"{dog}_3.JPEG"][:-3000]
    files[f"{dog}_4.JPEG"] = b""
    # Classes 2, 0, 1 in the order of the challenge's image numbers.
    for n, label in ((1, 2), (2, 0), (3, 1)):
        files[f"val/{WNIDS[label]}/ILSVRC2012_val_{n:08d}.JPEG"] = _photograph(100 + n)
    return files


@pytest.fixture(scope="session")
def plain_folders(photographs: dict[str, bytes], tmp_path_factory) -> DataConfig:
    """The photographs in class folders, to be stored as JPEG at 64 pixels; read-only."""
    root = tmp_path_factory.mktemp("imagenet")
    for name, content in photographs.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return DataConfig(
        source=Source.imagenet,
        path=str(root),
        storage=Storage.jpeg,
        size=64,
        crop=64,
        skip_broken=True,
    )


@pytest.fixture(scope="session")
def reference(plain_folders: DataConfig, tmp_path_factory) -> Store:
    """The store of ``plain_folders``; read-only."""
    return prepare(plain_folders, tmp_path_factory.mktemp("reference"))
