"""How far one split is written: what a build that was killed continues from."""

import io
import json
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ablations.data.moments import Moments
from ablations.data.pack import Packed
from ablations.files import write_atomically

EXAMPLES = 20  # of each kind of converted image, in a manifest


@dataclass
class Progress:
    """Everything about the images of a split that are written so far, their pixels apart.

    Attributes:
        moments: Sums over their pixels.
        done: Number of images, the broken ones included.
        lengths: Bytes of each image that was kept.
        kept: Its row in the source.
        skipped: Place and reason of each broken image.
        converted: Number of images of each kind, see :class:`~ablations.data.decode.Decoded`.
        examples: Places of the first of each kind.
    """

    moments: Moments
    done: int = 0
    lengths: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    converted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of all images."""
        return sum(self.lengths)

    def add(self, chunk: Packed) -> None:
        """Count the next images in."""
        self.moments += chunk.moments
        self.lengths += chunk.lengths
        self.kept += [self.done + row for row in chunk.kept]
        self.skipped |= dict(chunk.broken)
        for where, kind in chunk.converted:
            self.converted[kind] += 1
            if len(places := self.examples.setdefault(kind, [])) < EXAMPLES:
                places.append(where)
        self.done += chunk.samples

    def save(self, path: Path) -> None:
        """Write this to a file, which is replaced at once or not at all."""
        lists = {name: getattr(self, name) for name in ("skipped", "converted", "examples")}
        buffer = io.BytesIO()
        np.savez(
            buffer,
            done=self.done,
            lengths=np.array(self.lengths, np.int64),
            kept=np.array(self.kept, np.int64),
            count=self.moments.count,
            total=self.moments.total,
            products=self.moments.products,
            lists=json.dumps(lists),
        )
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, size: int) -> "Progress":
        """Read what :meth:`save` wrote; where there is nothing of use, begin.

        Args:
            path: The file.
            size: Height and width of the images, in pixels.
        """
        progress = cls(Moments(size))
        try:
            with np.load(io.BytesIO(path.read_bytes())) as saved:
                values: dict[str, Any] = dict(saved)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return progress
        lists = json.loads(str(values["lists"]))
        progress.done = int(values["done"])
        progress.lengths, progress.kept = values["lengths"].tolist(), values["kept"].tolist()
        progress.skipped, progress.examples = lists["skipped"], lists["examples"]
        progress.converted = Counter(lists["converted"])
        progress.moments.count = int(values["count"])
        progress.moments.total, progress.moments.products = values["total"], values["products"]
        return progress
