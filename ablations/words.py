"""Formats of numbers and names, for the terminal and the report."""

import re
from collections.abc import Sequence
from math import isfinite
from statistics import mean, stdev

MINUS = "−"


def number(value: float, decimals: int) -> str:
    """Return a number with a minus sign (−), and never a negative zero.

    Examples:
        >>> number(-0.04, 1), number(-1.25, 2)
        ('0.0', '−1.25')
    """
    assert isfinite(value), "the caller handles infinite bounds"
    text = f"{value:.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else text.removeprefix("-")


def plain(value: float) -> str:
    """Write a number without trailing zeros, to six significant digits.

    Examples:
        >>> plain(1.4), plain(6.0), plain(-2.45), plain(-0.0)
        ('1.4', '6', '−2.45', '0')
    """
    return f"{value or 0:.6g}".replace("-", MINUS)


def count(number: int, noun: str) -> str:
    """Format a number with its noun in the singular or plural.

    Examples:
        >>> count(1, "run"), count(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Format seconds as ``42 s``, ``3 min 20 s`` or ``2 h 5 min``.

    Examples:
        >>> duration(200)
        '3 min 20 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def mean_sd(values: Sequence[float], decimals: int = 2) -> str:
    """Write mean ± standard deviation; the mean alone for one value, a dash for no value.

    Examples:
        >>> mean_sd([1.0, 2.0, 3.0]), mean_sd([1.0]), mean_sd([])
        ('2.00 ± 1.00', '1.00', '–')
    """
    if not values:
        return "–"
    text = number(mean(values), decimals)
    return text if len(values) < 2 else f"{text} ± {number(stdev(values), decimals)}"


def classes(names: Sequence[str]) -> list[str]:
    """Return class names, those of ImageNet without their WordNet id where they stay unique.

    Examples:
        >>> classes(["n01629819 European fire salamander", "n02074367 dugong"])
        ['European fire salamander', 'dugong']
    """
    short = [re.sub(r"^n\d{8}[ _-]+", "", name) for name in names]
    return short if len(set(short)) == len(short) else list(names)


def spoken(name: str) -> str:
    """Write the name of a claim or an experiment as words.

    Examples:
        >>> spoken("lrn_lowers_cifar10_error")
        'LRN lowers CIFAR-10 error'
    """
    names = {"lrn": "LRN", "relu": "ReLU", "cifar10": "CIFAR-10", "imagenet": "ImageNet"}
    return capital(" ".join(names.get(word, word) for word in name.split("_")))


def listed(items: Sequence[object]) -> str:
    """Write a list with commas and "and".

    Examples:
        >>> listed(["one"]), listed([1, 2, 3])
        ('one', '1, 2 and 3')
    """
    texts = [str(item) for item in items]
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def slug(*parts: str) -> str:
    """Return an identifier for HTML and URLs.

    Examples:
        >>> slug("demo", "ten_views", "", "test error")
        'demo-ten-views-test-error'
    """
    return "-".join(re.findall(r"\w+", " ".join(parts).replace("_", " "))).lower()


def sentence(text: str) -> str:
    """Return the text as a sentence: a capital, a period, true minus signs, no negative zero.

    Examples:
        >>> sentence("it changes by -3 %, in test by -0.0 %")
        'It changes by −3 %, in test by 0.0 %.'
    """
    text = re.sub(rf"(?<=[ \[(])[-{MINUS}](?=0(\.0+)?(?![\d.]))", "", text)
    return capital(re.sub(r"(?<=[ \[(])-(?=\d)", MINUS, text)).rstrip(".") + "."
