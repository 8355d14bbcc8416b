"""Training and test error of every arm: the gap that regularization should close."""

from statistics import mean
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ablations.page import words
from ablations.page.arms import ArmOfRuns, mean_sd
from ablations.page.evidence import Chapter
from ablations.page.svg import COLOR, Drawing, canvas, place, render, write

_WIDE, _NARROW = 1000, 350
_LEAST_SPAN = 10.0  # percentage points on the axis
_LINE = 16


def gaps(chapter: Chapter) -> Drawing | None:
    """Draw the arms with finished runs, in the center view; none without any.

    Args:
        chapter: One experiment.
    """
    arms = [arm for arm in chapter.arms if arm.gaps]
    if not arms:
        return None
    key, title = f"{chapter.key}-gaps", "Training and test error of every arm"
    sentences = [
        f"{arm.name}: {words.number(mean(train for train, _ in arm.gaps))} % on "
        f"training images, {words.number(mean(test for _, test in arm.gaps))} % on test images."
        for arm in arms
    ]
    description = (
        "One row for each arm: a triangle at the mean top-1 error on training images without "
        "augmentation and dropout, a circle at that on test images, a line for the gap. "
        + " ".join(sentences)
    )
    rows = [
        (
            arm.name,
            str(len(arm.gaps)),
            mean_sd([a for a, _ in arm.gaps]),
            mean_sd([b for _, b in arm.gaps]),
            mean_sd([b - a for a, b in arm.gaps]),
        )
        for arm in arms
    ]
    head = ("arm", "n", "train top-1, %", "test top-1, %", "gap, points")
    wide = _draw(arms, _WIDE, f"{key}-wide", title, description)
    narrow = _draw(arms, _NARROW, f"{key}-narrow", title, description)
    return Drawing(key, title, description, wide, narrow, head, rows)


def _draw(arms: list[ArmOfRuns], width: int, key: str, title: str, description: str) -> str:
    wide = width == _WIDE
    # Arms of an experiment that was changed in many keys have long names.
    names = [wrap(arm.name, 43 if wide else 38) for arm in arms]
    more = _LINE * (max(map(len, names)) - 1)
    row, head, foot = (32 if wide else 46) + more, 32, 30
    left, right = (320, 120) if wide else (14, 14)
    with canvas(width, head + row * len(arms) + foot) as figure:
        write(figure, 2, 14, "Top-1 error in the center view, %", size=13, weight="bold")
        if wide:
            write(figure, width - right + 18, 14, "gap", color="muted")
        axes = place(figure, left, head, width - left - right, row * len(arms))
        axes.set_ylim(len(arms), 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", lw=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: words.plain(round(x, 6))))
        _widen(axes, arms)
        for index, arm in enumerate(arms):
            y = index + (0.5 if wide else 1 - 15 / row)
            train, test = (mean(ends) for ends in zip(*arm.gaps, strict=True))
            axes.plot([train, test], [y, y], color=COLOR["muted"], lw=2, zorder=1)
            for ends, marker, ms in ((0, ">", 8), (1, "o", 8)):
                fill = COLOR["surface"] if ends == 0 else COLOR["with"]
                middle = (train, test)[ends]
                seeds = [pair[ends] for pair in arm.gaps]
                axes.plot(seeds, [y] * len(seeds), ls="", marker="|", ms=9, color=COLOR["muted"])
                axes.plot(
                    middle,
                    y,
                    marker=marker,
                    ms=ms,
                    mfc=fill,
                    mec=COLOR["with"],
                    mew=1.8,
                    clip_on=False,
                    zorder=3,
                )
            gap = f"{words.number(test - train)} points"
            middle_of_row = head + row * (index + 0.5) - (0 if wide else 10)
            for number, line in enumerate(names[index]):
                lift = _LINE * (number - (len(names[index]) - 1) / 2)
                write(figure, 2, middle_of_row + lift, line, size=13 if wide else 12)
            if wide:
                write(figure, width - right + 18, middle_of_row, gap, size=13)
            else:
                write(figure, width - 2, middle_of_row, gap, align="right")
        return render(figure, key, title, description)


def _widen(axes: Axes, arms: list[ArmOfRuns]) -> None:
    # A gap of half a point should not fill the picture.
    ends = [end for arm in arms for pair in arm.gaps for end in pair]
    low, high = min(ends), max(ends)
    reach = max(high - low, _LEAST_SPAN) * 0.55
    middle = (low + high) / 2
    axes.set_xlim(max(middle - reach, min(low, 0) - 1), middle + reach)
