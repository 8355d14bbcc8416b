"""The words of the verdicts, each with its shape, its colour and its meaning."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """How a verdict looks and what it means.

    Attributes:
        label: As in ``ablations.stats.verdict.Label``.
        word: For headings and counts.
        key: Name of its colour in the style sheet, and of its icon in the page.
        marker: Its shape in figures, in matplotlib's alphabet.
        filled: Whether that shape is filled.
        meaning: For the glossary.
    """

    label: str
    word: str
    key: str
    marker: str
    filled: bool
    meaning: str


# From the best to the worst news; nothing known comes last.
MARKS = (
    Mark(
        "reproduced",
        "Reproduced",
        "reproduced",
        "o",
        True,
        "The interval leaves out zero on the paper's side, and an effect as large as the margin "
        "is not ruled out.",
    ),
    Mark(
        "direction only",
        "Direction only",
        "direction",
        "^",
        True,
        "The effect has the paper's sign, and is smaller than the smallest one that matters.",
    ),
    Mark(
        "contradicted (negligible)",
        "Contradicted: negligible",
        "negligible",
        "s",
        True,
        "Whatever effect there is lies within the margin on either side of zero.",
    ),
    Mark(
        "contradicted (opposite)",
        "Contradicted: opposite",
        "opposite",
        "X",
        True,
        "The interval leaves out zero on the other side: the technique does harm here.",
    ),
    Mark(
        "inconclusive",
        "Inconclusive",
        "inconclusive",
        "o",
        False,
        "These seeds do not tell; where they can be counted, the number of further seeds that "
        "would is given.",
    ),
)

# Before the first look, and where a claim makes no sense.
PENDING = Mark("", "Not decided yet", "pending", "", False, "Its first look is still to come.")
EXCLUDED = Mark("", "Not applicable", "excluded", "", False, "The claim makes no sense here.")

# A control has nothing to reproduce; see ``ablations.study.verdicts.Result.label``.
CONTROL_MARKS = (
    Mark("negligible", "Negligible", "negligible", "s", True, "As it should be."),
    Mark("undecided", "Undecided", "inconclusive", "o", False, "As it should be."),
    Mark("false alarm", "False alarm", "opposite", "X", True, "An effect where there is none."),
)

BY_LABEL = {mark.label: mark for mark in (*MARKS, *CONTROL_MARKS, PENDING)}

# What may stand behind a verdict, and other words of the page.
GLOSSARY = (
    ("strong", "The whole interval lies beyond the margin."),
    ("consistent with the paper", "The paper's figure lies inside the interval."),
    ("weaker than the paper", "The whole interval lies below the paper's figure."),
    ("stronger than the paper", "The whole interval lies above the paper's figure."),
    (
        "margin",
        "The smallest effect that matters, written into the claim before its first run; half of "
        "the paper's figure unless the claim says otherwise.",
    ),
    (
        "pair",
        "Two runs with one seed, one without and one with the technique: they share initial "
        "weights, order of images and crops wherever both have them. A pair is the unit of "
        "evidence; test images and epochs are not.",
    ),
    (
        "interval",
        "Adjusted for every look at the data and for all claims of the family that one command "
        "decided: 95 % by default for these as a whole, so that single intervals are wider than "
        "usual.",
    ),
    (
        "points",
        "Percentage points of error, or of colour where a claim is about kernels. Positive effects "
        "have the direction that the paper names.",
    ),
    (
        "confirmatory, exploratory, control",
        "The paper's own claims share one error rate (Holm). Extensions are adjusted by "
        "themselves (Benjamini and Hochberg). A control compares like with like and should find "
        "nothing.",
    ),
    (
        "diverged",
        "The loss left the finite numbers. The run is kept and counts as guessing; it is never "
        "repeated with another seed.",
    ),
    (
        "not reached",
        "A target that a run's budget was too short for. The times then give a bound in place of "
        "an interval.",
    ),
    (
        "on new images",
        "The verdict with the chance of the test images added, which more seeds do not remove.",
    ),
)
