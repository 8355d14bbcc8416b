"""The style of the figures, and a figure as SVG and PDF files and as an element of the page.

Figures have the light colors of the style sheet, which the page replaces by the variables of the
style sheet. Text is not converted to paths.
"""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

_SHEET = (files("ablations.reporting") / "templates" / "report.css").read_text("utf-8")
# The light colors precede the first media query.
COLORS = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", _SHEET.partition("@media")[0]))
STYLE: dict[Any, Any] = {
    "font.size": 14,
    "text.color": COLORS["ink"],
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["rule"],
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": COLORS["muted"],
    **{f"axes.spines.{side}": False for side in ("left", "right", "top")},
    "axes.titlecolor": COLORS["muted"],
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.titlesize": 14,
    "axes.ymargin": 0.12,
    "grid.color": COLORS["rule"],
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,
    **{f"{axis}tick.color": COLORS["rule"] for axis in "xy"},
    **{f"{axis}tick.labelcolor": COLORS["muted"] for axis in "xy"},
    "ytick.major.size": 0,
}


def blank(width: float, height: float) -> Figure:
    """Return an empty figure; a point of it is a pixel of the page."""
    return Figure((width / 72, height / 72), dpi=72, layout="constrained")


@dataclass(frozen=True)
class Panel:
    """A figure with the table of its data.

    Attributes:
        title: What it shows, in one line, unique in the report.
        figure: The figure.
        text: Description for screen readers.
        head: Column names of the table.
        rows: Rows of the table, as text; empty for a figure whose numbers are in other tables.
    """

    title: str
    figure: Figure
    text: str
    head: Sequence[str] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def pdf(self) -> bytes:
        """The figure as a PDF file."""
        return self._saved("pdf", {"CreationDate": None, "ModDate": None})

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG file, with its size in pixels."""
        text = self._saved("svg", {"Date": None}).decode()
        # A browser would show points a third larger.
        return re.sub(r' (width|height)="([\d.]+)pt"', r' \1="\2"', text, count=2)

    def _saved(self, kind: str, dates: dict[str, None]) -> bytes:
        """Return the content of a file, which is the same for the same figure."""
        buffer = io.BytesIO()
        # The salt makes the ids of an SVG file unique in the page.
        with (
            matplotlib.rc_context({**STYLE, "svg.hashsalt": self.title}),
            warnings.catch_warnings(),
        ):
            # A browser takes a character that matplotlib's font lacks from another font.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            self.figure.savefig(buffer, format=kind, metadata=dates)
        return buffer.getvalue()

    @property
    def element(self) -> Markup:
        """The figure as an element of the page, with the page's fonts and colors."""
        text = self.svg
        for pattern, by in (
            # A style sheet inside an SVG would style the whole page.
            (r"(?s)^.*?<svg.*?>|<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", ""),
            (r' id="\w[\w.]*_\d+"', ""),
            (r"xlink:href", "href"),
            (r"font-family: [^;\"]*;? ?|'DejaVu Sans'", ""),
            (r"\s+", " "),
        ):
            text = re.sub(pattern, by, text)
        text = text.replace("#ffffff", "none")  # the background of the file
        for name, color in COLORS.items():
            text = text.replace(color, f"var(--{name})")
        width, height = (72 * inches for inches in self.figure.get_size_inches())
        head = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}">')
        return head.format(f"{self.title}. {self.text}", width, height) + Markup(text)
