"""A matplotlib figure as SVG that follows the page: its colors, its fonts, its dark mode.

Figures are drawn with stand-in colors, each of which becomes a variable of the style sheet. Text
stays text, so that it can be read, searched and scaled.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Stand-ins: no figure would use these near-blacks for themselves.
_NAMES = (
    "ink",
    "muted",
    "rule",
    "surface",
    "with",
    "without",
    "paper",
    "band",
    "holds",
    "direction",
    "no-effect",
    "opposite",
    "undecided",
    "not-testable",
    "incomplete",
    "expected",
    "false-alarm",
)
COLOR = {name: f"#0000{number:02x}" for number, name in enumerate(_NAMES, start=1)}

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.edgecolor": COLOR["rule"],
    "axes.labelcolor": COLOR["muted"],
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": COLOR["rule"],
    "grid.linewidth": 0.8,
    "text.color": COLOR["ink"],
    "xtick.color": COLOR["rule"],
    "xtick.labelcolor": COLOR["muted"],
    "xtick.major.size": 3,
    "ytick.color": COLOR["rule"],
    "ytick.labelcolor": COLOR["muted"],
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Drawing:
    """One figure of the page.

    Attributes:
        key: Its name within the page.
        title: What it shows, in one line.
        description: What there is to be seen, for those who cannot.
        wide: The figure as SVG.
        narrow: The same for a phone; empty where ``wide`` is narrow enough.
        head: Head of the table behind it.
        rows: Rows of that table, as text.
    """

    key: str
    title: str
    description: str
    wide: str
    narrow: str = ""
    head: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """An empty figure in the page's style; lengths in CSS pixels."""
    with matplotlib.rc_context(_STYLE):
        # 72 points an inch: one point of the figure is one pixel of the page.
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        yield figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels from the left and the top of the figure."""
    full_width, full_height = figure.get_size_inches() * 72
    axes = figure.add_axes(
        (
            left / full_width,
            1 - (top + height) / full_height,
            width / full_width,
            height / full_height,
        )
    )
    axes.patch.set_visible(False)
    return axes


def write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    color: str = "ink",
    align: str = "left",
    weight: str = "normal",
) -> None:
    """Write a line of text at a place given in pixels from the left and the top."""
    width, height = figure.get_size_inches() * 72
    figure.text(
        x / width,
        1 - y / height,
        text,
        size=size,
        color=COLOR[color],
        ha=align,
        va="center",
        weight=weight,
    )


def render(figure: Figure, key: str, title: str, description: str) -> str:
    """Write a figure as an ``<svg>`` element for the page.

    Args:
        figure: The figure, drawn in the colors of :data:`COLOR`.
        key: Prefix of its ids, which have to be unique within the page.
        title: Read out first.
        description: Read out next.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    _strip(root)
    _rename(root, key)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    width, height = root.attrib["viewBox"].split()[2:]
    root.attrib |= {
        "width": f"{float(width):g}",
        "height": f"{float(height):g}",
        "role": "img",
        "aria-labelledby": f"{key}-t {key}-d",
    }
    for index, (tag, text, end) in enumerate((("title", title, "t"), ("desc", description, "d"))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{key}-{end}"})
        element.text = text
        root.insert(index, element)
    _shorten(root)
    ElementTree.register_namespace("", _SVG)
    text = ElementTree.tostring(root, encoding="unicode")
    for name, color in COLOR.items():
        text = text.replace(color, f"var(--{name})")
    return text


def _strip(root: ElementTree.Element) -> None:
    # Metadata name no content; a style sheet inside an SVG would style the whole page.
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}:
                parent.remove(child)
    _flatten(root)


def _flatten(parent: ElementTree.Element) -> None:
    # Groups that group nothing are half of what matplotlib writes.
    for child in list(parent):
        _flatten(child)
        empty = child.tag in {f"{{{_SVG}}}g", f"{{{_SVG}}}defs"} and not len(child)
        # The line behind a single marker goes nowhere.
        if empty or re.fullmatch(r"M [\d.-]+ [\d.-]+\s*", child.get("d", "")):
            parent.remove(child)
        elif child.tag == f"{{{_SVG}}}g" and not set(child.attrib) - {"id"}:
            place = list(parent).index(child)
            parent.remove(child)
            for offset, grandchild in enumerate(list(child)):
                parent.insert(place + offset, grandchild)


def _rename(root: ElementTree.Element, key: str) -> None:
    used = set(re.findall(r"#([\w-]+)", ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        link = element.attrib.pop(f"{{{_XLINK}}}href", None)
        if link:
            element.set("href", f"#{key}-{link[1:]}")
        clip = element.get("clip-path")
        if clip:
            element.set("clip-path", clip.replace("url(#", f"url(#{key}-"))
        name = element.get("id")
        if name in used:
            element.set("id", f"{key}-{name}")
        elif name:
            del element.attrib["id"]


def _shorten(root: ElementTree.Element) -> None:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name in {"d", "style", "x", "y", "width", "height", "points"}:
                element.set(name, _shorter(value))
        if element.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
            del element.attrib["transform"]
        for text in ("text", "tail"):
            if (getattr(element, text) or "x").isspace():
                setattr(element, text, None)


def _shorter(value: str) -> str:
    # The page's font takes the place of the one that the figure was measured with.
    value = value.replace("font-family: 'DejaVu Sans'; ", "")
    value = re.sub(r"-?\d+\.\d{2,}", lambda match: f"{round(float(match[0]), 1):g}", value)
    return re.sub(r"([;:]) ", r"\1", re.sub(r"\s+", " ", value)).strip()
