from dataclasses import replace

import pytest

from ablations.claim import Claim, check_arms
from ablations.config import ConfigError
from ablations.techniques import Dropout, Pooling, Techniques

VALUES = {
    "name": "overlap_helps",
    "statement": "Overlapping windows lower the error.",
    "section": "3.4",
    "technique": "pooling",
    "kind": "difference",
    "family": "confirmatory",
    "common": ["recipe.lr=0.02"],
    "with": ["pooling=overlap"],
    "without": ["pooling=nonoverlap"],
    "measure": {},
    "paper": {"says": "0.4 points", "data": "ImageNet"},
    "confounds": ["none"],
    "decision": {"margin": 0.002, "why": "half"},
}


def make(**changes):
    return Claim.model_validate(VALUES | changes)


@pytest.fixture
def arms(tiny_run):
    return tiny_run, replace(tiny_run, techniques=Techniques(pooling=Pooling.nonoverlap))


def test_arms_that_differ_in_the_technique_alone_pass(arms):
    check_arms(make(), *arms)


def test_arms_may_differ_in_a_key_of_the_recipe(tiny_run):
    recipe = replace(tiny_run.recipe, weight_decay=0.0)
    check_arms(make(technique="recipe.weight_decay"), tiny_run, replace(tiny_run, recipe=recipe))


def test_another_difference_is_named_with_its_values(arms):
    techniques = Techniques(pooling=Pooling.nonoverlap, dropout=Dropout.off)
    with pytest.raises(ConfigError, match="dropout=on or off, pooling=overlap or nonoverlap"):
        check_arms(make(), arms[0], replace(arms[1], techniques=techniques))


def test_equal_arms_are_refused_unless_they_are_read_differently(tiny_run):
    with pytest.raises(ConfigError, match="differ in nothing"):
        check_arms(make(), tiny_run, tiny_run)
    check_arms(make(technique="ensemble", ensemble=5), tiny_run, tiny_run)


def test_keys_are_all_that_the_claim_sets_or_tunes():
    tune = {"recipe.momentum": {"with": [0.9], "without": [0.9]}}
    found = make(tune=tune, reference=["activation=tanh"])
    assert found.keys == {"pooling", "recipe.lr", "recipe.momentum", "activation"}


def test_parts_are_arms_without_the_technique():
    assert make().comparisons == {"": ["pooling=nonoverlap"]}
    parts = {"a": ["depth=no_conv3"], "b": ["depth=no_conv4"]}
    assert make(without=[], parts=parts).comparisons == parts


def test_a_experiment_may_have_a_target_of_its_own():
    measure = {"split": "val", "target": 0.5, "target_at": {"cifar10": 0.3}}
    found = make(kind="time_to_target", measure=measure, decision={"margin": 2, "why": "half"})
    assert found.measure.target_for("smoke") == 0.5
    assert found.measure.target_for("cifar10") == 0.3
