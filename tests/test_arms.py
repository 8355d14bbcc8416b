from dataclasses import replace

from ablations.arms import arm_labels, difference
from ablations.config import Run, Source
from ablations.techniques import Activation, BiasInit, Pooling


def test_an_arm_is_named_after_its_difference_from_the_experiment(tiny_run: Run):
    arm = replace(
        tiny_run,
        width=0.5,
        techniques=replace(tiny_run.techniques, pooling=Pooling.nonoverlap),
        recipe=replace(tiny_run.recipe, lr=0.02, bias_lr_mult=2.0),
        data=replace(tiny_run.data, crop=10),
    )
    assert difference(arm, tiny_run) == (
        "pooling=nonoverlap data.crop=10 recipe.lr=0.02 recipe.bias_lr_mult=2.0 width=0.5"
    )
    assert "recipe.bias_lr_mult=null" in difference(tiny_run, arm)


def test_callbacks_are_named_by_class_and_arguments(tiny_run: Run):
    mine = {"_target_": "package.Mine", "decay": 0.9, "every": 2}
    arm = replace(tiny_run, callbacks={"a": mine, "b": {"_target_": "package.Other"}})
    assert difference(arm, tiny_run) == "callbacks=Mine(decay=0.9,every=2)+Other()"
    assert "callbacks=none" in difference(tiny_run, arm)


def test_seed_replicate_and_place_of_the_data_name_no_arm(tiny_run: Run):
    data = replace(tiny_run.data, source=Source.huggingface, path="/elsewhere", name="other")
    same = replace(tiny_run, data=data, seed=7, replicate=1)
    assert difference(same, tiny_run) == "baseline"
    assert arm_labels([tiny_run, same]) is None


def test_labels_name_every_key_that_differs_and_the_default_too(tiny_run: Run):
    tanh = replace(tiny_run, techniques=replace(tiny_run.techniques, activation=Activation.tanh))
    zero = replace(tiny_run, techniques=replace(tiny_run.techniques, bias_init=BiasInit.zero))
    assert arm_labels([tiny_run, tanh, replace(zero, seed=1)]) == [
        "activation=relu bias_init=one",
        "activation=tanh bias_init=one",
        "activation=relu bias_init=zero",
    ]
