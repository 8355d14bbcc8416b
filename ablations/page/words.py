"""Numbers and names for readers."""

import re
from collections.abc import Sequence
from math import floor, isfinite, log10

MINUS = "\N{MINUS SIGN}"


def digits(width: float) -> int:
    """Return the decimals that a number with an uncertainty of ``width`` needs.

    Examples:
        >>> digits(12.0), digits(0.4), digits(0.03)
        (1, 1, 2)
    """
    if not isfinite(width) or width <= 0:
        return 1
    return min(4, max(1, -floor(log10(width))))


def number(value: float, decimals: int = 1) -> str:
    """Write a number with a minus sign; infinity as its symbol.

    Examples:
        >>> number(-0.04, 1), number(-1.25, 2), number(float("inf"))
        ('0.0', '−1.25', '∞')
    """
    if not isfinite(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def plain(value: float, scale: float = 1.0) -> str:
    """Write a figure with no more digits than it has.

    Examples:
        >>> plain(0.014, 100), plain(6.0)
        ('1.4', '6')
    """
    return f"{scale * value:.6g}".replace("-", MINUS)


def classes(names: Sequence[str]) -> list[str]:
    """Return names of classes, those of ImageNet without the number of their synset.

    Examples:
        >>> classes(["n01629819 European fire salamander", "n02074367 dugong"])
        ['European fire salamander', 'dugong']
    """
    said = [re.sub(r"^n\d{8}[ _-]+", "", name) for name in names]
    return said if len(set(said)) == len(said) else list(names)


def percent(fraction: float, decimals: int = 2) -> str:
    """Write a fraction as a percentage, without the sign."""
    return number(100 * fraction, decimals)


def duration(seconds: float) -> str:
    """Write a time in its largest two units.

    Examples:
        >>> duration(42), duration(150), duration(7260), duration(200000)
        ('42 s', '2 min 30 s', '2 h 1 min', '2 d 7 h')
    """
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left, parts = round(seconds), []
    for name, size in units:
        count, left = divmod(left, size)
        if count or (parts and len(parts) < 2):
            parts.append((count, name))
        if len(parts) == 2:
            break
    return " ".join(f"{count} {name}" for count, name in parts if count) or "0 s"


def count(n: int, noun: str) -> str:
    """Write a number with its noun.

    Examples:
        >>> count(1, "run"), count(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{n:,} {noun}" + "s" * (n != 1)


def spoken(name: str) -> str:
    """Write the name of a claim or an experiment as words.

    Examples:
        >>> spoken("lrn_lowers_cifar10_error")
        'LRN lowers CIFAR-10 error'
    """
    capitals = {"lrn": "LRN", "relu": "ReLU", "cifar10": "CIFAR-10", "imagenet": "ImageNet"}
    return " ".join(capitals.get(word, word) for word in name.split("_"))


def listed(items: Sequence[str]) -> str:
    """Write a list with commas and "and".

    Examples:
        >>> listed(["one"]), listed(["one", "two", "three"])
        ('one', 'one, two and three')
    """
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))


def capital(text: str) -> str:
    """Return a text that begins with a capital."""
    return text[:1].upper() + text[1:]


def slug(*parts: str) -> str:
    """Return a name that is fit for an address.

    Examples:
        >>> slug("demo", "ten_views", "", "test error")
        'demo-ten-views-test-error'
    """
    return "-".join(filter(None, parts)).replace("_", "-").replace(" ", "-")


def sentence(text: str) -> str:
    """Return a text as a sentence: a capital, a period, minus signs.

    Examples:
        >>> sentence("it changes by -3 %")
        'It changes by −3 %.'
    """
    text = re.sub(r"(?<=[ \[(])-(?=\d)", MINUS, text)
    return capital(text).rstrip(".") + "."
