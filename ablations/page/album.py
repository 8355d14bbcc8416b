"""What pictures of a trained network consist of; drawn by ``pictures``."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EXACT = 64  # pixels of a side up to which a picture is kept as it is
POOL = 600  # training images that neighbors are sought in


@dataclass(frozen=True)
class Picture:
    """An image for the page.

    Attributes:
        source: A data URI.
        text: What it shows.
    """

    source: str
    text: str

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], text: str) -> "Picture":
        """Encode pixels, shape (H, W, 3) or (H, W, 4): exactly, where they are few."""
        image = Image.fromarray(pixels)
        photograph = image.mode == "RGB" and max(image.size) > _EXACT
        if photograph:  # the page is committed
            image.thumbnail((2 * _EXACT, 2 * _EXACT))
        kind = "jpeg" if photograph else "png"
        buffer = io.BytesIO()
        image.save(buffer, kind, optimize=True, quality=80)
        content = base64.b64encode(buffer.getvalue()).decode()
        return cls(f"data:image/{kind};base64,{content}", text)


@dataclass(frozen=True)
class Tower:
    """First kernels of one tower.

    Attributes:
        picture: All of them, side by side.
        colors: Colorfulness of each, from 0 (gray) to 1, shape (kernels,).
    """

    picture: Picture
    colors: NDArray[np.float64]


@dataclass(frozen=True)
class Guess:
    """A test image with the network's five favorite classes.

    Attributes:
        image: The image; its text is the true class.
        right: Whether the favorite is the true class.
        classes: Name, probability in percent, and whether it is the true class.
    """

    image: Picture
    right: bool
    classes: list[tuple[str, float, bool]]


@dataclass(frozen=True)
class Likeness:
    """A test image and the training images that the last hidden layer takes for most alike.

    Attributes:
        image: The test image.
        nearest: The training images, nearest first.
        same: How many of these are of the test image's class.
    """

    image: Picture
    nearest: list[Picture]
    same: int


@dataclass(frozen=True)
class Album:
    """Everything drawn of one run.

    Attributes:
        run_id: The run.
        arm: Its arm.
        seed: Its seed.
        towers: Its first kernels.
        guesses: Half of them right, as far as there are such.
        likenesses: One for each of several test images.
        missing: What could not be drawn, and why.
        pool: Number of training images that neighbors were sought in.
    """

    run_id: str
    arm: str
    seed: int
    towers: list[Tower] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    likenesses: list[Likeness] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    pool: int = POOL
