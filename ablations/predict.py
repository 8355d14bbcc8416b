"""``python ablations/predict.py RUN image.png`` prints the most probable classes of images."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in {None, ""}:
    # Run as a file: import from the folder above, so that no module here shadows a library.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from PIL import Image

import ablations
from ablations.config import ConfigError
from ablations.errors import ended_in_words, plain
from ablations.keys import RUN, command_line
from ablations.record import VIEWS


def find_images(places: Sequence[Path]) -> list[Path]:
    """Return the given files and the image files below the given folders.

    Raises:
        ConfigError: A file does not exist, or a folder has no images.
    """
    suffixes = Image.registered_extensions()
    images: list[Path] = []
    for place in places:
        below = sorted(path for path in place.rglob("*") if path.suffix.lower() in suffixes)
        found = [place] if place.is_file() else below
        if not found:
            raise ConfigError(
                f"{place}: no such file, or no image below this folder; next step: give an image "
                "or a folder of images"
            )
        images += found
    return images


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=command_line("predict"),
        description="Print the most probable classes of images.",
        parents=[RUN],
    )
    parser.add_argument(
        "images", metavar="IMAGE", type=Path, nargs="+", help="images, or folders of images"
    )
    parser.add_argument(
        "--views",
        choices=VIEWS,
        default="ten_view",
        help="center view, or mean over ten views (default: ten_view)",
    )
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="classes per image (default: 5)"
    )
    given = parser.parse_intermixed_args(arguments)
    if given.top < 1:
        parser.error(f"--top {given.top}: must be at least 1")
    broken = False
    with ended_in_words():
        images = find_images(given.images)
        trained = ablations.load(given.run, given.output)
        for path in images:
            try:
                (probabilities,) = trained.predict([path], given.views)
            except (ConfigError, OSError) as error:
                print(f"error: {plain(error)}", file=sys.stderr, flush=True)
                broken = True
                continue
            print(path)
            for name, probability in trained.top(probabilities, given.top):
                print(f"{100 * probability:7.1f} %  {name}")
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    main()
