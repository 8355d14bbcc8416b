"""Draws the pictures of the site into ``docs/pictures/``: `python docs/pictures.py`."""

from pathlib import Path
from xml.sax.saxutils import escape

import torch
from torch import nn

from ablations.composition import compose
from ablations.models import construct
from ablations.models.layers import layers

FOLDER = Path(__file__).parent / "pictures"
# Parts of the pages, not files beside them: so they have the page's color, light or dark.
HEAD = '<svg class="picture" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
STEPS = [
    ("Claim", "sweeps/CLAIM.yaml", "two arms, one difference"),
    ("Study", "sweeps/studies/STUDY.yaml", "data, recipe, seeds"),
    ("Runs", "runs/ID/", "both arms, equal seeds"),
    ("Records", "runs/ID/record.json", "errors, curve, versions"),
    ("Verdict", "runs/verdicts.json", "interval and label"),
    ("Report", "runs/report.html", "tables and figures"),
]


def draw() -> dict[str, str]:
    """Return the pictures by file name."""
    return {"network.html": network(), "path.html": path()}


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
    return _svg(1020, 340, "The network of Figure 2 with its two towers", parts)


def path() -> str:
    """Return the way from a claim to its report."""
    parts: list[str] = []
    for number, (name, file, content) in enumerate(STEPS):
        x = 85 + 170 * number
        if number:
            parts.append(_line(x - 95, 45, x - 78, 45))
            parts.append(f'<path d="M{x - 84} 41 l6 4 l-6 4" class="line"/>')
        parts += [_box(x, 45, 150, 60), _text(x, 38, name, bold=True), _text(x, 58, content)]
        parts.append(_text(x, 98, file, faint=True))
    return _svg(1020, 110, "From a claim to its report", parts)


def _box(x: float, y: float, wide: float, tall: float) -> str:
    place = f'x="{x - wide / 2:.1f}" y="{y - tall / 2:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
    return f'<rect {place} rx="3" class="box"/>'


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path d="M{x0:.1f} {y0:.1f} L{x1:.1f} {y1:.1f}" class="line"/>'


def _text(x: float, y: float, text: str, *, bold: bool = False, faint: bool = False) -> str:
    kind = "name" if bold else "faint" if faint else "plain"
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    head = HEAD.format(width=width, height=height, title=escape(title))
    return "\n".join(['<div class="wide">', head, *parts, "</svg>", "</div>", ""])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in draw().items():
        (FOLDER / name).write_text(text)
