"""Scales, margins and rules: what a study makes of a claim."""

from math import log
from typing import Any

import pytest

from ablations.claims.schema import Claim, Study

CLAIM: dict[str, Any] = {
    "name": "overlap_helps",
    "statement": "Overlapping windows lower the error.",
    "section": "3.4",
    "family": "paper",
    "technique": "pooling",
    "with": ["pooling=overlap"],
    "without": ["pooling=nonoverlap"],
    "paper": {
        "says": "0.4 points",
        "data": "ImageNet",
        "effect": 0.004,
        "error": 0.4,
        "top5": [0.003, 0.18],
        "experiments": ["imagenet"],
    },
    "confounds": {"one run": "One run per arm."},
}
NO_FIGURE = {"paper": {"says": "it helps", "data": "ImageNet"}, "why": "we say so"}
TIMES = {"measure": {"of": "epochs_to_error"}, "paper": CLAIM["paper"] | {"effect": 6.0}}
GAP = NO_FIGURE | {"measure": {"of": "gap"}, "margin": 0.1}
NEIGHBORS = NO_FIGURE | {
    "technique": "neighbors",
    "measure": {"of": "neighbors"},
    "margin": 0.2,
}


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(CLAIM | changes)


def study(plan: dict[str, Any] | None = None, **changes: Any) -> Study:
    values = {"name": "small", "title": "A small study", "experiment": "smoke"}
    return Study.model_validate(values | {"claims": {"overlap_helps": plan}} | changes)


# Scales, margins and effects


@pytest.mark.parametrize(
    ("changes", "experiment", "scale", "margin", "effect"),
    [
        # At the paper's own data in points, elsewhere as a ratio of errors.
        ({}, "imagenet", "points", 0.002, 0.004),
        ({}, "smoke", "ratio", log(0.404 / 0.4) / 2, log(0.404 / 0.4)),
        (NO_FIGURE | {"margin": 1.02}, "imagenet", "ratio", log(1.02), None),
        (TIMES, "imagenet", "ratio", log(6) / 2, log(6)),
        (GAP, "imagenet", "relative", 0.1, None),
        (NEIGHBORS, "smoke", "plain", 0.2, None),
    ],
)
def test_margins_are_half_of_the_papers_effect_on_the_scale_of_the_analysis(
    changes: dict[str, Any], experiment: str, scale: str, margin: float, effect: float | None
) -> None:
    found, plan = claim(**changes), study(experiment=experiment)
    assert plan.scale_of(found) == scale
    assert plan.margin_of(found)[0] == pytest.approx(margin)
    assert plan.effect_of(found) == (effect if effect is None else pytest.approx(effect))


@pytest.mark.parametrize(
    ("changes", "common"),
    [
        ({"changes": ["width=0.5"]}, []),
        ({"elsewhere": True}, []),
        ({}, ["recipe.lr=0.02"]),
        ({"experiment": "imagenet_released"}, []),
    ],
)
def test_any_change_leaves_the_papers_own_setting(changes, common) -> None:
    assert study(experiment="imagenet").at_paper(claim())
    changed, found = study(None, **{"experiment": "imagenet"} | changes), claim(common=common)
    assert not changed.at_paper(found)
    assert changed.scale_of(found) == "ratio"


def test_the_top5_effect_has_its_own_error() -> None:
    assert study(experiment="imagenet").effect_of(claim(), 5) == 0.003
    assert study().effect_of(claim(), 5) == pytest.approx(log(0.183 / 0.18))


def test_margin_target_and_looks_of_the_plan_come_before_others() -> None:
    plan = study({"margin": {"margin": 1.05, "why": "a pilot"}, "target": 0.4, "looks": [4]})
    plain = claim(**NO_FIGURE, margin=1.02)
    assert plan.margin_of(plain) == (pytest.approx(log(1.05)), "a pilot")
    timed = claim(**TIMES | {"measure": {"of": "epochs_to_error", "target": 0.25}})
    assert (study().target_of(timed), study().looks_of(timed)) == (0.25, (3, 5, 8))
    assert (plan.target_of(timed), plan.looks_of(timed)) == (0.4, (4,))


# Attempts

GRID = {"with": [0.01, 0.02], "without": [0.02, 0.04]}
CONTEXT = {"family": ["overlap_helps"], "run": {}, "numerics": 3}


def test_rules_of_studies_that_have_begun_keep_their_hash() -> None:
    assert study().attempt(claim(), CONTEXT) == "f7106444c29c"
    tuned = study({"grid": GRID, "looks": [4]}, tuning={"values": [0.01, 0.02]})
    assert tuned.attempt(claim(), CONTEXT) == "ffae85cce919"


def test_words_and_order_change_no_attempt() -> None:
    first = study().attempt(claim())
    assert study(title="Another title", why="because").attempt(claim()) == first
    words = {"statement": "Other words.", "confounds": {}, "excluded": {"smoke": "small"}}
    assert study().attempt(claim(**words)) == first
    one, other = (study(changes=changes) for changes in (["a=1", "b=2"], ["b=2", "a=1"]))
    assert one.attempt(claim()) == other.attempt(claim())


def test_every_rule_changes_the_attempt() -> None:
    of_study: list[dict[str, Any]] = [
        {"name": "other"},
        {"experiment": "cifar10"},
        {"changes": ["width=0.5"]},
        {"looks": [3, 5]},
        {"first_seed": 200},
        {"gate_seeds": [1000, 1001, 1002, 1003, 1005]},
        {"tuning": {"values": [0.01, 0.02]}},
        {"version": 2},
        {"claims": {"overlap_helps": {"looks": [4]}}},
        {"claims": {"overlap_helps": {"grid": GRID}}},
        {"claims": {"overlap_helps": {"target": 0.5}}},
        {"claims": {"overlap_helps": {"margin": {"margin": 1.5, "why": "a pilot"}}}},
    ]
    of_claim: list[dict[str, Any]] = [
        {"technique": "norm"},
        {"family": "extension"},
        {"common": ["recipe.lr=0.02"]},
        {"with": []},
        {"without": ["pooling=overlap"]},
        {"without": [], "parts": {"a": {"without": ["pooling=nonoverlap"]}}},
        {"measure": {"of": "train_error"}},
        {"measure": {"direction": "higher"}},
        {"overfits_without": True},
        {"trained_out": False},
        {"paper": CLAIM["paper"] | {"effect": 0.005}},
    ]
    contexts = [CONTEXT, CONTEXT | {"family": ["another"]}, CONTEXT | {"run": {"width": 0.5}}]
    attempts = [
        study().attempt(claim()),
        *(study(None, **changes).attempt(claim()) for changes in of_study),
        *(study().attempt(claim(**changes)) for changes in of_claim),
        *(study().attempt(claim(), context) for context in contexts),
    ]
    assert len(set(attempts)) == len(attempts)
