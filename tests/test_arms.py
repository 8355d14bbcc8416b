from dataclasses import replace

import pytest

from ablations.arms import arm_labels, changes_of, difference, name_of, shortest
from ablations.config import Run, Source
from ablations.techniques import Pooling


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


def test_names_of_arms_omit_seed_replicate_and_path_of_the_data(tiny_run: Run):
    data = replace(tiny_run.data, source=Source.huggingface, path="/elsewhere", name="other")
    same = replace(tiny_run, data=data, seed=7, replicate=1)
    assert difference(same, tiny_run) == "baseline"


@pytest.mark.parametrize(
    ("arms", "labels"),
    [
        (["recipe.lr=1", "recipe.lr=1"], ["recipe.lr=1", "recipe.lr=1"]),
        (["recipe.lr=1", "norm=none recipe.lr=1"], ["baseline", "norm=none"]),
        (["recipe.lr=1", "recipe.lr=2"], ["recipe.lr=1", "recipe.lr=2"]),
    ],
)
def test_what_all_arms_of_a_command_change_is_in_no_label(arms, labels):
    assert arm_labels(arms) == labels


@pytest.mark.parametrize(
    ("names", "tuned", "short"),
    [
        # The pilots of a study: the baseline differs least from the others.
        (
            ["width=2 epochs=9", "width=2 epochs=4", "norm=none width=2 epochs=4"],
            [],
            ["epochs=9", "baseline", "norm=none"],
        ),
        (["norm=none width=2", "pooling=max width=2"], [], ["norm=none", "pooling=max"]),
        (["lr=1", "norm=none lr=2"], ["lr"], ["baseline", "norm=none"]),
        (["baseline", "lr=1", "norm=none lr=2"], ["lr"], ["baseline", "lr=1", "norm=none"]),
        (["recipe.epochs=1"], [], ["baseline"]),
        (["pooling=nonoverlap data.val_size=9"], [], ["pooling=nonoverlap"]),
        (["steps=[1, 2] lr=1", "steps=[1, 3] lr=1"], [], ["baseline", "steps=[1, 3]"]),
    ],
)
def test_names_of_arms_are_short_and_distinct(names, tuned, short):
    arms = shortest({name: changes_of(name) for name in names}, tuned)
    assert list(map(name_of, arms.values())) == short
