from dataclasses import replace
from enum import Enum
from typing import Any

from ablations.arms import arm_labels, difference
from ablations.config import Run, Source
from ablations.techniques import Activation, BiasInit, Pooling


def with_technique(run: Run, **choice: Enum) -> Run:
    return replace(run, techniques=replace(run.techniques, **choice))


def with_recipe(run: Run, **values: Any) -> Run:
    return replace(run, recipe=replace(run.recipe, **values))


def test_an_arm_is_named_after_its_difference_from_the_experiment(tiny_run: Run):
    arm = with_recipe(
        with_technique(tiny_run, pooling=Pooling.nonoverlap), lr=0.02, bias_lr_mult=2.0
    )
    assert difference(arm, tiny_run) == "pooling=nonoverlap recipe.lr=0.02 recipe.bias_lr_mult=2.0"
    assert difference(with_recipe(tiny_run), with_recipe(arm)).endswith("recipe.bias_lr_mult=null")


OTHER = {"source": Source.huggingface, "path": "/elsewhere", "name": "other"}


def test_the_arm_without_a_difference_is_the_baseline(tiny_run: Run):
    elsewhere = replace(tiny_run, data=replace(tiny_run.data, **OTHER))
    assert difference(replace(elsewhere, seed=7, replicate=1), tiny_run) == "baseline"


def test_labels_name_the_keys_that_differ_and_the_default_too(tiny_run: Run):
    other = with_technique(tiny_run, pooling=Pooling.nonoverlap)
    runs = [tiny_run, other, replace(other, seed=1)]
    assert arm_labels(runs) == ["pooling=overlap", "pooling=nonoverlap", "pooling=nonoverlap"]


def test_labels_of_two_keys(tiny_run: Run):
    runs = [
        tiny_run,
        with_technique(tiny_run, activation=Activation.tanh),
        with_technique(tiny_run, bias_init=BiasInit.zero),
    ]
    assert arm_labels(runs) == [
        "activation=relu bias_init=one",
        "activation=tanh bias_init=one",
        "activation=relu bias_init=zero",
    ]


def test_runs_that_differ_in_the_seed_only_have_no_labels(tiny_run: Run):
    assert arm_labels([tiny_run, replace(tiny_run, seed=1)]) is None
