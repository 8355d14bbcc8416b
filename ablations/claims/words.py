"""Effects, intervals and remarks as text, for the terminal and the page."""

from math import floor, log10

from ablations.claims.results import ClaimResult
from ablations.stats.labels import Label, Verdict
from ablations.words import MINUS, number


def remarks(result: ClaimResult) -> list[str]:
    """Return the remarks on a label: failed checks, notes, names of passed checks, looks."""
    failed = [f"gate failed, {check}" for check in result.checks if not check.passed]
    passed = ", ".join(dict.fromkeys(check.part for check in result.checks if check.passed))
    others = [f"gate passed: {passed}" * bool(passed), result.history]
    return [*failed, *notes(result), *filter(None, others)]


def notes(result: ClaimResult) -> list[str]:
    """Return the reasons of the verdicts, the power of undecided ones, and the warnings.

    The reason of a claim that is not testable is omitted if the checks of the gate give it.
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
    """Return an effect in the unit for readers: ``1.034×`` or ``1.4 points``.

    Args:
        result: The claim, for unit and scale.
        effect: Effect on the scale of the analysis; None gives an empty string.
        part: Part of the claim.
        decimals: Number of decimals; None chooses it by the size of the effect.
    """
    value = result.to_reader(effect, part)
    if value is None:
        return ""
    unit = result.unit_of(part)
    if decimals is None:
        size = abs(value - 1)
        decimals = (2 if size >= 0.1 else 3 if size >= 0.001 else 4) if unit == "×" else 1
    text = _bound(value, decimals, unit == "×")
    return text + (unit if unit == "×" else f" {unit}")


def label_interval(verdict: Verdict) -> tuple[float | None, float | None]:
    """Return the interval behind the label: for no effect, that of the two one-sided tests."""
    if verdict.label is Label.no_effect:
        return verdict.inner_low, verdict.inner_high
    return verdict.low, verdict.high


def measured(result: ClaimResult, verdict: Verdict) -> tuple[str, str]:
    """Return the estimate of a verdict and its interval, with the same number of decimals.

    A bound that is not valid is shown as ∞, −∞, or 0 for a ratio; an extreme ratio as ``<0.1`` or
    ``>100``.
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
    ratio = result.unit_of(verdict.part) == "×"
    low, high = (None if end is None else _bound(end, decimals or 2, ratio) for end in ends)
    return ours, f"[{low or ('0' if ratio else f'{MINUS}∞')}, {high or '∞'}]"


def _bound(value: float, decimals: int, ratio: bool) -> str:
    if ratio and not 10**-decimals <= value <= 100:
        return ">100" if value > 1 else f"<{10**-decimals:g}"
    return number(value, decimals)
