import io

import numpy as np
from PIL import Image

from ablations.config import Storage
from ablations.data.pack import encode, pack_chunk
from ablations.data.sources import Sample


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def test_raw_pixels_lie_one_after_the_other_and_broken_images_are_named():
    samples = [Sample(png(10), "a"), Sample(b"nothing", "b"), Sample(png(30), "c")]
    packed = pack_chunk(samples, 8, Storage.raw)
    pixels = np.frombuffer(packed.content, np.uint8).reshape(2, 8, 8, 3)
    assert pixels[:, 0, 0, 0].tolist() == [10, 30]
    assert packed.lengths == [8 * 8 * 3] * 2
    assert (packed.samples, packed.kept) == (3, [0, 2])
    assert [place for place, _ in packed.broken] == ["b"]


def test_jpeg_images_can_be_told_apart_by_their_lengths():
    packed = pack_chunk([Sample(png(0), "a"), Sample(png(200), "b")], 8, Storage.jpeg)
    first = packed.content[: packed.lengths[0]]
    assert sum(packed.lengths) == len(packed.content)
    assert first == encode(np.zeros((8, 8, 3), np.uint8))
    second = np.asarray(Image.open(io.BytesIO(packed.content[packed.lengths[0] :])))
    assert abs(int(second[4, 4, 0]) - 200) < 5
