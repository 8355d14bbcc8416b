"""How each label looks, and the rule behind it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ablations.claims.results import ClaimResult
from ablations.stats.labels import Label


@dataclass(frozen=True)
class Mark:
    """How a label looks.

    Attributes:
        key: Name of its color in the style sheet, and of its icon in the page.
        marker: Its shape in figures, in matplotlib's alphabet.
        filled: Whether that shape is filled.
        rule: When it is given.
    """

    key: str
    marker: str
    filled: bool
    rule: str


# The rule asks in another order, see GLOSSARY; here the labels are in the order of the page.
MARKS = {
    Label.holds: Mark(
        "holds", "o", True, "The gate passed, and the whole interval lies at or above the margin."
    ),
    Label.direction: Mark(
        "direction",
        "^",
        True,
        "The gate passed, and the whole interval lies above no effect, but not above the margin. "
        "“Smaller than the margin” is added if it lies below the margin.",
    ),
    Label.no_effect: Mark(
        "no-effect",
        "s",
        True,
        "The gate passed, and two one-sided tests place the effect within the margin on either "
        "side of no effect.",
    ),
    Label.opposite: Mark(
        "opposite",
        "X",
        True,
        "The gate passed, and the whole interval lies on the other side of no effect.",
    ),
    Label.undecided: Mark(
        "undecided",
        "o",
        False,
        "The gate passed, and none of the above. The smallest effect that these pairs can resolve "
        "is given, and about how many more pairs would decide.",
    ),
    Label.not_testable: Mark(
        "not-testable",
        "s",
        False,
        "The gate failed: the claim cannot show at this scale. The part that failed is given with "
        "its numbers and with what would pass.",
    ),
    Label.incomplete: Mark(
        "incomplete",
        "v",
        False,
        "There are no pairs, runs are missing, or all differences are equal because the arms do "
        "not differ.",
    ),
}
PLANNED = Mark("planned", "", False, "No pair has been trained yet.")
EXCLUDED = Mark("excluded", "", False, "The claim makes no sense at this experiment.")
EXPECTED = Mark(
    "expected", "s", True, "A control compares like with like, and no effect was found."
)
FALSE_ALARM = Mark("false-alarm", "X", True, "A control found an effect where there is none.")

_ORDER = [*MARKS.values(), EXPECTED, FALSE_ALARM, PLANNED, EXCLUDED]

# Labels whose count comes after them.
_COUNTED_AFTER = ("direction holds here", "right direction", "no effect here")

GLOSSARY = (
    (
        "order of the rules",
        "The first that matches wins: incomplete, not testable, holds, direction holds, opposite, "
        "no effect, undecided. A claim with several parts holds if every part holds, is opposite "
        "if any part is, and has the weakest part's label otherwise.",
    ),
    (
        "here",
        "At the data, network and schedule of this study. “Reproduced”, “right direction”, "
        "“negligible” and “contradicted” are said only at the paper's own data and network.",
    ),
    (
        "gate",
        "What a claim needs in order to show, checked on tuning seeds before its pairs train. "
        "Trained out: twice the epochs change the baseline's validation error by less than 5 %. "
        "Fair rates: the learning rate is chosen for either arm, and is not on the edge of its "
        "grid. Overfits without it: without the technique the generalization gap is at least a "
        "quarter of the error. Learns: no arm is at chance or diverged throughout.",
    ),
    (
        "margin, δ",
        "The smallest effect that matters, fixed before the first run: half of the paper's effect, "
        "or the study's own where the paper gives no figure.",
    ),
    (
        "×",
        "A ratio of two errors or two times, above 1 in the paper's direction. Away from the "
        "paper's data and network its points are turned into the ratio of its errors, so that a "
        "margin means the same at 15 % and at 50 % error.",
    ),
    ("points", "Percentage points of error, positive in the paper's direction."),
    (
        "% of the test error",
        "Difference of the generalization gaps, divided by the baseline's test error. A claim on "
        "the gap also has to lower the test error.",
    ),
    (
        "pair",
        "Two runs with one seed, one with and one without the technique. They share initial "
        "weights, order of images and crops wherever both have them.",
    ),
    (
        "interval",
        "Adjusted for all looks of the plan and all claims of the family: all intervals of a study "
        "cover their effects together with probability 95 %.",
    ),
    (
        "look",
        "A number of pairs at which a verdict may be reached. Every look is kept in a ledger; a "
        "second study of the same claim on the same data is judged at half the error rate.",
    ),
    (
        "P(holds) at Δ and 2Δ",
        "Probability that the claim will be said to hold if the paper's effect Δ is true, and if "
        "twice that is true, planned before the first run. Where the paper gives no figure, Δ is "
        "twice the margin. Below 0.5 at 2Δ the claim is not resolvable by this study.",
    ),
    (
        "families",
        "The paper's claims of a study share one error rate, our extensions another. A control "
        "compares like with like and has its own. Top-5 verdicts are secondary, outside the count.",
    ),
    (
        "diverged",
        "The loss became NaN or infinite. The run is kept and counts as chance; it is never "
        "repeated with another seed.",
    ),
)


def mark_of(result: ClaimResult) -> Mark:
    """Return the mark of a result's label."""
    if not result.label:
        return EXCLUDED if result.excluded else PLANNED
    if result.family == "control":
        if result.word == "false alarm":
            return FALSE_ALARM
        if result.label in (Label.no_effect, Label.undecided):
            return EXPECTED
    return MARKS[Label(result.label)]


def word_of(result: ClaimResult) -> str:
    """Return the label of a result for readers; a control without a finding is as expected."""
    return "as expected" if mark_of(result) is EXPECTED else result.word


def counts(results: Iterable[ClaimResult]) -> list[tuple[Mark, str, int]]:
    """Count results by label, in the order of the page."""
    found = Counter((_ORDER.index(mark_of(r)), word_of(r)) for r in results)
    return [(_ORDER[index], word, n) for (index, word), n in sorted(found.items())]


def tally(results: Iterable[ClaimResult]) -> str:
    """Return the counts by label as text: ``3 hold here, no effect here in 2, 1 undecided``."""
    found = []
    for _, word, n in counts(results):
        if word in _COUNTED_AFTER:
            found.append(f"{word} in {n}")
        else:
            found.append(f"{n} {word.replace('holds', 'hold') if n > 1 else word}")
    return ", ".join(found)
