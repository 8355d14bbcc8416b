from math import exp, log
from typing import Any

import pytest
from pydantic import ValidationError

from ablations.claims.schema import Arms, Claim, Study

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
    "confounds": ["One run per arm."],
}
NO_FIGURE = {"paper": {"says": "it helps", "data": "ImageNet"}, "why": "we say so"}
# What the readings of one run go together with.
READING: dict[str, dict[str, Any]] = {
    "ensemble": {"ensemble": 5},
    "neighbors": NO_FIGURE | {"measure": {"of": "neighbors"}, "margin": 0.2},
}
STUDY: dict[str, Any] = {
    "name": "small",
    "title": "A small study",
    "experiment": "smoke",
    "claims": ["overlap_helps"],
}


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(CLAIM | changes)


def study(plan: dict[str, Any] | None = None, **changes: Any) -> Study:
    values = STUDY | changes
    return Study.model_validate(values | {"claims": {"overlap_helps": plan}} if plan else values)


# Claims


def test_a_claim_chooses_what_tells_its_arms_apart_but_not_what_is_relative() -> None:
    assert claim().chosen == {"pooling"}
    parts = {"larger": {"technique": "width", "without": ["width=x0.5"]}}
    assert claim(technique="width", parts=parts, without=[], **{"with": []}).chosen == set()


def test_parts_are_arms_without_the_technique() -> None:
    assert claim().comparisons == {"": Arms(without=["pooling=nonoverlap"])}
    parts = {"a": {"without": ["depth=no_conv3"]}, "b": {"without": ["depth=no_conv4"]}}
    found = claim(technique="depth", without=[], parts=parts).comparisons
    assert [(name, arms.without) for name, arms in found.items()] == [
        ("a", ["depth=no_conv3"]),
        ("b", ["depth=no_conv4"]),
    ]
    assert found["a"].technique is None


@pytest.mark.parametrize("override", ["width=x0.5", "recipe.epochs=x0.25", "recipe.lr=1e-3"])
def test_overrides_may_be_relative_to_the_study(override: str) -> None:
    assert claim(without=[override]).without == [override]


@pytest.mark.parametrize(
    "override", ["recipe.milestones=[0.857142,0.928571]", "data.train=[a.parquet,b.parquet]"]
)
def test_overrides_may_be_lists(override: str) -> None:
    assert claim(common=[override]).common == [override]


@pytest.mark.parametrize(
    "override", ["pooling", "=overlap", "pooling=", "+pooling=overlap", "a..b=1", "a-b=1", ""]
)
def test_what_is_no_override_is_refused(override: str) -> None:
    with pytest.raises(ValidationError, match="an override is KEY=VALUE"):
        claim(common=[override])


@pytest.mark.parametrize(
    "override", ["seed=1", "experiment=smoke", "trainer.devices=2", "output=a", "pretrained=b"]
)
def test_overrides_of_the_command_are_refused(override: str) -> None:
    with pytest.raises(ValidationError, match="is for the command line, not for a claim"):
        claim(common=[override])


@pytest.mark.parametrize(
    "technique",
    ["norm", "edition", "init", "width", "replicate", "recipe.epochs", "neighbors", "evaluation"],
)
def test_a_technique_is_a_key_or_a_reading(technique: str) -> None:
    assert claim(technique=technique, **READING.get(technique, {})).technique == technique


@pytest.mark.parametrize("technique", ["model", "data.size", "recipe", "lr", ""])
def test_other_techniques_are_refused(technique: str) -> None:
    with pytest.raises(ValidationError, match=r"takes activation, .* or recipe\.KEY"):
        claim(technique=technique)


@pytest.mark.parametrize(
    ("technique", "reads"),
    [("ensemble", True), ("neighbors", True), ("evaluation", True), ("norm", False)],
)
def test_some_claims_read_the_same_runs_twice(technique: str, reads: bool) -> None:
    assert claim(technique=technique, **READING.get(technique, {})).reads_one_run is reads


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paper": NO_FIGURE["paper"]}, "margin: is missing, and the paper gives no effect"),
        ({"margin": 1.01}, "why: is missing"),
        ({"paper": CLAIM["paper"] | {"error": None}}, r"paper\.error: is missing"),
        ({"measure": {"of": "steps_to_loss"}}, r"paper\.effect: a ratio of times is above 1"),
        ({"ensemble": 5}, "ensemble: goes together with technique: ensemble"),
        ({"technique": "ensemble"}, "ensemble: goes together with technique: ensemble"),
        (READING["neighbors"], r"measure\.of: neighbors goes together with technique: neighbors"),
        ({"technique": "neighbors"}, r"measure\.of: neighbors goes together with technique: nei"),
        ({"parts": {"a": {"without": []}}}, "replace `without`"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        claim(**changes)


@pytest.mark.parametrize("effect", [0, -0.004])
@pytest.mark.parametrize("of", ["test_error", "epochs_to_error", "color"])
def test_an_effect_of_the_paper_is_above_0(of: str, effect: float) -> None:
    paper = CLAIM["paper"] | {"effect": effect}
    with pytest.raises(ValidationError, match=r"paper\.effect: .* must be above 0, in the paper's"):
        claim(paper=paper, measure={"of": of})


@pytest.mark.parametrize(("effect", "valid"), [(0.59, True), (0.6, False), (1.4, False)])
@pytest.mark.parametrize("of", ["test_error", "train_error"])
def test_an_effect_on_errors_is_a_fraction_and_no_percentage(
    of: str, effect: float, valid: bool
) -> None:
    changes = {"measure": {"of": of}, "paper": CLAIM["paper"] | {"effect": effect, "error": 0.4}}
    if valid:
        assert claim(**changes).paper.effect == effect
        return
    with pytest.raises(ValidationError, match=r"paper\.effect: .* as a fraction"):
        claim(**changes)


@pytest.mark.parametrize(
    ("of", "margin", "valid"),
    [
        *[("test_error", 1.02, True), ("test_error", 1.0, False), ("test_error", 0.02, False)],
        *[("train_error", 1.02, True), ("train_error", 0.5, False)],
        *[("epochs_to_error", 1.4, True), ("steps_to_loss", 0.9, False)],
        *[("gap", 0.1, True), ("gap", 0.0, False), ("color", 0.1, True), ("color", -1, False)],
    ],
)
def test_a_margin_is_an_effect(of: str, margin: float, valid: bool) -> None:
    changes = NO_FIGURE | {"measure": {"of": of}, "margin": margin}
    if valid:
        assert claim(**changes).margin == margin
        return
    with pytest.raises(ValidationError, match="an effect of this measure is above"):
        claim(**changes)


def test_experiments_and_models_are_checked_where_they_are_known() -> None:
    context = {"experiments": ["smoke", "imagenet"], "models": ["cifar_conv"]}
    excluded = {"smoke": "too small", "cifar_conv": "another technique"}
    found = Claim.model_validate(CLAIM | {"excluded": excluded}, context=context)
    assert found.excluded == excluded
    with pytest.raises(ValidationError, match="there is no experiment or model `smok`"):
        Claim.model_validate(CLAIM | {"excluded": {"smok": "typo"}}, context=context)
    paper = CLAIM["paper"] | {"experiments": ["cifar_conv"]}
    with pytest.raises(ValidationError, match="there is no experiment `cifar_conv`; it takes im"):
        Claim.model_validate(CLAIM | {"paper": paper}, context=context)
    with pytest.raises(ValidationError, match="there is no experiment `other`"):
        Study.model_validate(STUDY | {"experiment": "other"}, context=context)


# Scales, margins and effects

TIMES = {"measure": {"of": "epochs_to_error"}, "paper": CLAIM["paper"] | {"effect": 6.0}}
GAP = NO_FIGURE | {"measure": {"of": "gap"}, "margin": 0.1}
NEIGHBORS = {"technique": "neighbors"} | READING["neighbors"]


@pytest.mark.parametrize(
    ("changes", "experiment", "scale", "margin", "effect"),
    [
        # At the paper's own data in points, elsewhere as a ratio of errors.
        ({}, "imagenet", "points", 0.002, 0.004),
        ({}, "smoke", "ratio", log(0.404 / 0.4) / 2, log(0.404 / 0.4)),
        (NO_FIGURE | {"margin": 1.02}, "imagenet", "ratio", log(1.02), None),
        (NO_FIGURE | {"margin": 1.02}, "smoke", "ratio", log(1.02), None),
        (TIMES, "imagenet", "ratio", log(6) / 2, log(6)),
        (TIMES, "smoke", "ratio", log(6) / 2, log(6)),
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
    reason = "half of the paper's effect" if effect else "we say so"
    assert plan.margin_of(found)[1] == reason


def test_the_paper_s_margins_mean_the_same_at_any_error() -> None:
    # 1.4 points of 40.66 % are a ratio of 1.034, the margin is its root.
    lrn = claim(paper=CLAIM["paper"] | {"effect": 0.014, "error": 0.4066})
    assert exp(study().effect_of(lrn) or 0) == pytest.approx(1.0344, abs=1e-4)
    assert exp(study().margin_of(lrn)[0]) == pytest.approx(1.0171, abs=1e-4)


def test_changes_leave_the_papers_own_setting() -> None:
    assert study(experiment="imagenet").at_paper(claim())
    changed = study(experiment="imagenet", changes=["width=0.5"])
    assert not changed.at_paper(claim())
    assert changed.scale_of(claim()) == "ratio"
    assert not study(experiment="imagenet_released").at_paper(claim())


def test_what_both_arms_change_leaves_the_papers_own_setting() -> None:
    changed = claim(common=["recipe.lr=0.02"])
    assert not study(experiment="imagenet").at_paper(changed)
    assert study(experiment="imagenet").scale_of(changed) == "ratio"


def test_other_data_leave_the_papers_own_setting() -> None:
    elsewhere = study(experiment="imagenet", elsewhere=True)
    assert not elsewhere.at_paper(claim())
    assert elsewhere.scale_of(claim()) == "ratio"


def test_the_top5_effect_has_its_own_error() -> None:
    assert study(experiment="imagenet").effect_of(claim(), 5) == 0.003
    assert study().effect_of(claim(), 5) == pytest.approx(log(0.183 / 0.18))
    paper = {key: value for key, value in CLAIM["paper"].items() if key != "top5"}
    assert study().effect_of(claim(paper=paper), 5) is None


@pytest.mark.parametrize(
    ("changes", "margin", "expected"),
    [
        (NO_FIGURE | {"margin": 1.02}, 1.05, log(1.05)),
        (GAP, 0.2, 0.2),
    ],
)
def test_a_study_may_fix_another_margin(
    changes: dict[str, Any], margin: float, expected: float
) -> None:
    plan = study({"margin": {"margin": margin, "why": "a pilot"}})
    assert plan.margin_of(claim(**changes)) == (pytest.approx(expected), "a pilot")


def test_targets_and_looks_of_the_plan_come_before_others() -> None:
    timed = claim(**TIMES | {"measure": {"of": "epochs_to_error", "target": 0.25}})
    assert study().target_of(timed) == 0.25
    assert study().target_of(claim(**TIMES)) is None
    assert study().looks_of(timed) == (3, 5, 8)
    plan = study({"target": 0.4, "why_target": "a pilot", "looks": [4]})
    assert (plan.target_of(timed), plan.looks_of(timed)) == (0.4, (4,))


# Attempts


def test_an_attempt_is_twelve_digits_and_equal_for_equal_rules() -> None:
    first = study().attempt(claim())
    assert len(first) == 12
    int(first, 16)
    assert study().attempt(claim()) == first
    one, other = (study(changes=changes) for changes in (["a=1", "b=2"], ["b=2", "a=1"]))
    assert one.attempt(claim()) == other.attempt(claim())


def test_words_change_no_attempt() -> None:
    first = study().attempt(claim())
    assert study(title="Another title", why="because").attempt(claim()) == first
    words = {"statement": "Other words.", "confounds": ["none"], "excluded": {"smoke": "small"}}
    assert study().attempt(claim(**words)) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"experiment": "cifar10"},
        {"changes": ["width=0.5"]},
        {"looks": [3, 5]},
        {"first_seed": 200},
        {"gate_seeds": [1000, 1001, 1002, 1003, 1005]},
        {"tuning": {"values": [0.01, 0.02]}},
        {"version": 2},
    ],
    ids=str,
)
def test_every_rule_of_a_study_changes_the_attempt(changes: dict[str, Any]) -> None:
    assert study(**changes).attempt(claim()) != study().attempt(claim())


@pytest.mark.parametrize(
    "plan",
    [
        {"looks": [4]},
        {"grid": {"with": [0.01, 0.02], "without": [0.02, 0.04]}},
        {"target": 0.5},
        {"margin": {"margin": 1.5, "why": "a pilot"}},
    ],
    ids=str,
)
def test_every_rule_of_a_plan_changes_the_attempt(plan: dict[str, Any]) -> None:
    assert study(plan).attempt(claim()) != study().attempt(claim())


@pytest.mark.parametrize(
    "changes",
    [
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
        {"paper": CLAIM["paper"] | {"error": 0.5}},
    ],
    ids=str,
)
def test_every_rule_of_a_claim_changes_the_attempt(changes: dict[str, Any]) -> None:
    assert study().attempt(claim(**changes)) != study().attempt(claim())


def test_the_context_changes_the_attempt_and_a_list_of_claims_alone_does_not() -> None:
    first = study().attempt(claim())
    assert study(claims=["overlap_helps", "another"]).attempt(claim()) == first
    assert study().attempt(claim(), {}) == first
    contexts = [
        {"family": ["overlap_helps"]},
        {"family": ["another", "overlap_helps"]},
        {"family": ["overlap_helps"], "run": {"width": 0.5}},
        {"family": ["overlap_helps"], "run": {}, "numerics": 3},
    ]
    attempts = [study().attempt(claim(), context) for context in contexts]
    assert len({first, *attempts}) == 5
    assert study().attempt(claim(), dict(contexts[0])) == attempts[0]


# Studies


@pytest.mark.parametrize("key", ["recipe.lr", "recipe.weight_decay", "width"])
def test_a_number_of_the_recipe_or_the_width_is_tuned(key: str) -> None:
    tuning = study(tuning={"key": key, "values": [0.1, 0.2]}).tuning
    assert tuning is not None
    assert tuning.key == key


@pytest.mark.parametrize("key", ["init", "data.size", "pooling", "recipe", "recipe.", "lr", ""])
def test_other_keys_are_not_tuned(key: str) -> None:
    with pytest.raises(ValidationError, match=r"tuning\.key"):
        study(tuning={"key": key, "values": [0.1, 0.2]})


@pytest.mark.parametrize("values", [[], [0.1]])
def test_a_grid_has_two_values_at_least(values: list[float]) -> None:
    with pytest.raises(ValidationError, match=r"tuning\.values\n.* at least 2 items"):
        study(tuning={"values": values})
    for side, other in (("with", "without"), ("without", "with")):
        with pytest.raises(ValidationError, match=rf"grid\.{side}\n.* at least 2 items"):
            study({"grid": {side: values, other: [0.1, 0.2]}})


@pytest.mark.parametrize("values", [[0.2, 0.1], [0.1, 0.1], [0.1, 0.3, 0.2]])
def test_the_values_of_a_grid_rise(values: list[float]) -> None:
    with pytest.raises(ValidationError, match=r"tuning\.values\n.*must be rising numbers"):
        study(tuning={"values": values})
    for side, other in (("with", "without"), ("without", "with")):
        with pytest.raises(ValidationError, match=rf"grid\.{side}\n.*must be rising numbers"):
            study({"grid": {side: values, other: [0.1, 0.2]}})


def test_the_gate_has_five_seeds_at_least() -> None:
    assert study(gate_seeds=[7, 8, 9, 10, 11]).gate_seeds == (7, 8, 9, 10, 11)
    with pytest.raises(ValidationError, match=r"gate_seeds\n.* at least 5 items"):
        study(gate_seeds=[7, 8, 9, 10])


@pytest.mark.parametrize("seeds", [[7, 8, 9, 10, 10], [8, 7, 9, 10, 11]])
def test_no_seed_of_the_gate_or_of_the_tuning_is_there_twice(seeds: list[int]) -> None:
    with pytest.raises(ValidationError, match=r"gate_seeds\n.*must be rising numbers"):
        study(gate_seeds=seeds)
    with pytest.raises(ValidationError, match=r"tuning\.seeds\n.*must be rising numbers"):
        study(tuning={"values": [0.1, 0.2], "seeds": seeds})


@pytest.mark.parametrize("looks", [[], [1], [5, 3], [3, 3]])
def test_looks_are_rising_numbers_of_pairs(looks: list[int]) -> None:
    with pytest.raises(ValidationError, match="rising numbers of pairs, at least 2"):
        study(looks=looks)


def test_a_study_without_claims_is_refused() -> None:
    for nothing in ([], {}):
        with pytest.raises(ValidationError, match="claims"):
            study(claims=nothing)
