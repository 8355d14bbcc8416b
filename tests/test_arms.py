from dataclasses import replace

import pytest

from ablations.arms import arm_labels, changes_of, difference, name_of, shortest
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


def test_names_of_arms_omit_seed_replicate_and_path_of_the_data(tiny_run: Run):
    data = replace(tiny_run.data, source=Source.huggingface, path="/elsewhere", name="other")
    same = replace(tiny_run, data=data, seed=7, replicate=1)
    assert difference(same, tiny_run) == "baseline"
    assert arm_labels([tiny_run, same], [tiny_run] * 2) == ["baseline"] * 2


def test_data_that_all_runs_share_are_in_no_label(tiny_run: Run):
    run = replace(tiny_run, data=replace(tiny_run.data, train_limit=None, val_size=2))
    other = replace(run, techniques=replace(run.techniques, pooling=Pooling.nonoverlap))
    seeds = [replace(run, seed=1), replace(run, seed=2)]
    assert arm_labels(seeds, [tiny_run] * 2) == ["baseline"] * 2
    assert arm_labels([other], [tiny_run]) == ["pooling=nonoverlap"]
    quick = replace(run, recipe=replace(run.recipe, lr=0.02))
    assert arm_labels([quick], [tiny_run]) == ["recipe.lr=0.02"]


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        (
            [{}, {"pooling": Pooling.nonoverlap}],
            ["baseline (pooling=overlap)", "pooling=nonoverlap"],
        ),
        (
            [{}, {"activation": Activation.tanh}, {"bias_init": BiasInit.zero}],
            ["baseline (activation=relu bias_init=one)", "activation=tanh", "bias_init=zero"],
        ),
        (  # without the baseline, the default is named too
            [{"activation": Activation.tanh}, {"bias_init": BiasInit.zero}],
            ["activation=tanh bias_init=one", "activation=relu bias_init=zero"],
        ),
    ],
)
def test_a_sweep_names_its_runs_by_the_swept_keys(tiny_run: Run, changes, labels):
    # What all runs of the sweep change is in no label.
    run = replace(tiny_run, recipe=replace(tiny_run.recipe, lr=0.02))
    runs = [
        replace(run, seed=seed, techniques=replace(run.techniques, **arm))
        for seed, arm in enumerate(changes)
    ]
    assert arm_labels(runs, [tiny_run] * len(runs)) == labels


@pytest.mark.parametrize(
    ("names", "tuned", "short"),
    [
        (["baseline", "norm=none"], [], ["baseline", "norm=none"]),
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
        (["pooling=nonoverlap"], [], ["pooling=nonoverlap"]),
        (["pooling=nonoverlap data.val_size=9"], [], ["pooling=nonoverlap"]),
        (["steps=[1, 2] lr=1", "steps=[1, 3] lr=1"], [], ["baseline", "steps=[1, 3]"]),
        (["any text", "norm=none"], [], ["any text", "norm=none"]),
    ],
)
def test_names_of_arms_are_short_and_distinct(names, tuned, short):
    arms = shortest({name: changes_of(name) for name in names}, tuned)
    assert list(map(name_of, arms.values())) == short
