"""Effects, intervals and remarks in the reader's words, for terminal and page alike."""

from math import floor, isfinite, log10

from ablations.claims.results import ClaimResult
from ablations.stats.labels import Label, Verdict

MINUS = "−"


def remarks(result: ClaimResult) -> list[str]:
    """Return everything that qualifies a label, in order of weight: gate, notes, earlier looks."""
    failed = [f"gate failed, {check}" for check in result.checks if not check.passed]
    passed = [f"gate passed, {check}" for check in result.checks if check.passed]
    return list(dict.fromkeys([*failed, *notes(result), *passed, *filter(None, [result.history])]))


def notes(result: ClaimResult) -> list[str]:
    """Return the reasons of the verdicts, the power of undecided ones, and the warnings.

    The reason of a claim that is not testable is left out where the gate's checks give it.
    """
    failed = any(not check.passed for check in result.checks)
    found = []
    for verdict in result.verdicts:
        texts = []
        if verdict.reason and not (failed and verdict.label is Label.not_testable):
            texts.append(verdict.reason)
        if verdict.label is Label.undecided and verdict.resolvable is not None:
            least = figure(result, verdict.resolvable, verdict.part)
            text = f"smallest effect detectable with 80 % power: {least}"
            if verdict.more:
                text += f"; about {verdict.more} more pairs would decide at the present estimate"
            texts.append(text)
        found += [f"{verdict.part}: {text}" if verdict.part else text for text in texts]
    return list(dict.fromkeys([*found, *result.warnings]))


def figure(
    result: ClaimResult, effect: float | None, part: str = "", decimals: int | None = None
) -> str:
    """Write an effect in the reader's unit: ``1.034×`` or ``1.4 points``.

    Args:
        result: The claim, for unit and scale.
        effect: On the scale of the analysis; None gives an empty text.
        part: Part of the claim.
        decimals: Chosen by the size of the effect if left out.
    """
    value = result.to_reader(effect, part)
    if value is None:
        return ""
    unit = result.unit_of(part)
    if decimals is None:
        decimals = (3 if abs(value - 1) < 0.1 else 2) if unit == "×" else 1
    return number(value, decimals) + (unit if unit == "×" else f" {unit}")


def label_interval(verdict: Verdict) -> tuple[float | None, float | None]:
    """Return the interval that the label is read from: for no effect that of the two tests."""
    if verdict.label is Label.no_effect:
        return verdict.inner_low, verdict.inner_high
    return verdict.low, verdict.high


def measured(result: ClaimResult, verdict: Verdict) -> tuple[str, str]:
    """Write the estimate of a verdict and its interval, with the same decimals.

    An end without a valid bound is infinite.
    """
    ends = [result.to_reader(end, verdict.part) for end in label_interval(verdict)]
    value = result.to_reader(verdict.estimate, verdict.part)
    if value is None:
        return "", ""
    reaches = [abs(end - value) for end in ends if end is not None]
    decimals = None
    if reaches and max(reaches) > 0:
        decimals = min(3, max(1, 1 - floor(log10(max(reaches)))))
    ours = figure(result, verdict.estimate, verdict.part, decimals)
    if verdict.level is None:
        return ours, ""
    lowest = "0" if result.unit_of(verdict.part) == "×" else f"{MINUS}∞"
    low, high = ends
    words = [
        lowest if low is None else number(low, decimals or 2),
        "∞" if high is None else number(high, decimals or 2),
    ]
    return ours, f"[{', '.join(words)}]"


def number(value: float, decimals: int) -> str:
    """Write a number with a true minus, and never a negative zero.

    Examples:
        >>> number(-0.04, 1), number(-1.25, 2)
        ('0.0', '−1.25')
    """
    assert isfinite(value), "open ends have words of their own"
    text = f"{value:.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else text.removeprefix("-")
