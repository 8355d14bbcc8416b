"""How colorful the first kernels of each tower are (§6.1: the two specialize in every run)."""

import numpy as np
from numpy.typing import NDArray

from ablations.page import words
from ablations.page.svg import COLOR, Drawing, canvas, place, render, write

_WIDTH = 330


def towers(key: str, colors: list[NDArray[np.float64]]) -> Drawing:
    """Draw the colorfulness of every kernel, a row for each tower.

    Args:
        key: Name of the drawing within the page.
        colors: For each tower a number from 0 to 1 for each kernel.
    """
    names = [f"tower {n}" for n in range(1, len(colors) + 1)] if len(colors) > 1 else ["kernels"]
    shares = [
        f"{name} {words.percent(float(values.mean()), 0)} %"
        for name, values in zip(names, colors, strict=True)
    ]
    title = "How colorful the first kernels are"
    description = (
        "Each dot is a kernel, at the share of its energy that a gray image cannot excite; the "
        f"means are {', '.join(shares)}."
    )
    height = 44 + 46 * len(colors) + 34
    with canvas(_WIDTH, height) as figure:
        write(figure, 2, 12, "color in each kernel, % of its energy", size=11, color="muted")
        axes = place(figure, 64, 34, _WIDTH - 84, 46 * len(colors))
        axes.set_xlim(0, 100)
        axes.set_ylim(len(colors), 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", lw=0.6)
        axes.set_axisbelow(True)
        for row, (name, values) in enumerate(zip(names, colors, strict=True)):
            y = row + 0.5 + 0.22 * np.cos(np.pi * np.arange(len(values)))
            axes.plot(
                100 * values,
                y,
                ls="",
                marker="o" if row == 0 else "s",
                ms=5,
                color=COLOR["with" if row == 0 else "without"],
                alpha=0.7,
                clip_on=False,
            )
            middle = 100 * float(values.mean())
            axes.plot([middle, middle], [row + 0.08, row + 0.92], color=COLOR["ink"], lw=2)
            write(figure, 2, 34 + 46 * (row + 0.5), name)
        svg = render(figure, key, title, description)
    rows = [
        (
            name,
            str(len(values)),
            words.percent(float(values.mean()), 1),
            words.percent(float(np.median(values)), 1),
        )
        for name, values in zip(names, colors, strict=True)
    ]
    head = ("tower", "kernels", "mean color, %", "median color, %")
    return Drawing(key, title, description, svg, head=head, rows=rows)
