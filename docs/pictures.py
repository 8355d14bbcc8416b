"""Draws the network of the paper into ``docs/pictures/``: `python docs/pictures.py`."""

from pathlib import Path
from xml.sax.saxutils import escape

import torch
from torch import nn

from ablations.composition import compose
from ablations.models import construct
from ablations.models.layers import layers

PICTURE = Path(__file__).parent / "pictures/network.html"
# A part of the page, not a file beside it: so it has the page's color, light or dark.
HEAD = (
    '<div class="wide">\n<svg class="picture" viewBox="0 0 1020 340" role="img" '
    'aria-label="The network of Figure 2 with its two towers">'
)


def network() -> str:
    """Return the printed network: a column for each layer with weights, a row for each tower."""
    run = compose(["experiment=imagenet"]).run
    with torch.device("meta"):
        modules = dict(construct(run, 1000).named_children())
    shapes = {layer.name: layer.shape for layer in layers(run, 1000)}
    weighted = {name: m for name, m in modules.items() if isinstance(m, nn.Conv2d | nn.Linear)}
    columns: list[tuple[str, tuple[int, ...], list[str], bool]] = [
        ("image", (3, run.data.crop, run.data.crop), [], True)
    ]
    for name, module in weighted.items():
        lines, sees_all = [], not isinstance(module, nn.Conv2d) or module.groups == 1
        if isinstance(module, nn.Conv2d):
            (kernel, _), (stride, _) = module.kernel_size, module.stride
            lines = [f"{kernel}×{kernel} kernels" + f", stride {stride}" * (stride > 1)]
        after = [kind for kind in ("norm", "pool", "dropout") if f"{kind}{name[-1]}" in modules]
        columns.append((name, shapes[name], [*lines, *after], sees_all))
    parts: list[str] = []
    before: list[tuple[float, float]] = []
    for number, (name, shape, lines, sees_all) in enumerate(columns):
        x = 60 + 112 * number
        tall = 24 + (shape[1] / 2 if name == "image" else shape[1]) if len(shape) > 1 else 70
        wide = 10 + shape[0] ** 0.5 if len(shape) > 1 else 14
        rows = [130.0] if name in ("image", "fc8") else [75.0, 185.0]
        for y in rows:
            for x0, y0 in before:
                if sees_all or y == y0:
                    parts.append(_line(x0, y0, x - wide / 2, y))
        before = [(x + wide / 2, y) for y in rows]
        parts += [_box(x, y, wide, tall) for y in rows]
        size = " × ".join(f"{n:,}" for n in shape)
        parts += [_text(x, 262, name, bold=True), _text(x, 280, size)]
        parts += [_text(x, 298 + 16 * i, line, faint=True) for i, line in enumerate(lines)]
    return "\n".join([HEAD, *parts, "</svg>", "</div>", ""])


def _box(x: float, y: float, wide: float, tall: float) -> str:
    place = f'x="{x - wide / 2:.1f}" y="{y - tall / 2:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
    return f'<rect {place} rx="3" class="box"/>'


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path d="M{x0:.1f} {y0:.1f} L{x1:.1f} {y1:.1f}" class="line"/>'


def _text(x: float, y: float, text: str, *, bold: bool = False, faint: bool = False) -> str:
    kind = "name" if bold else "faint" if faint else "plain"
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(network())
