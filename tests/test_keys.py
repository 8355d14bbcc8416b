import sys

import pytest

from ablations.keys import RENAMED, help_text, keys, unknown_key


def test_a_key_has_its_values_and_its_meaning():
    found = {name: (values, meaning) for name, values, meaning in keys()}
    assert found["pooling"][0] == "overlap | nonoverlap"
    assert "(§3.4)" in found["pooling"][1]
    assert found["recipe.momentum"][0] == "a number, at least 0, below 1"
    assert found["trainer.slurm.partition"][0] == "a string | null"
    assert "random numbers" in found["seed"][1]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lr", "did you mean recipe.lr"),
        ("poolign", "did you mean pooling?"),
        ("networks", "run.py --help lists all keys"),  # it only begins like an old one
        ("trainer.max_epochs", "did you mean recipe.epochs?"),
        ("trainer.precision", "did you mean recipe.precision?"),
        ("optimizer.lr", "did you mean recipe.lr?"),
        ("optimizer.betas", "the optimizer is SGD with momentum"),
        ("ckpt_path", "the same command resumes an interrupted run; pretrained=RUN_ID"),
    ],
)
def test_an_unknown_key_gets_a_hint(key: str, said: str):
    assert unknown_key(key).startswith(f"{key}: no such key; {said}")


@pytest.mark.parametrize(("old", "new"), [*RENAMED.items(), ("dataset.crop", "data.crop")])
def test_an_old_key_is_answered_with_the_new_one(old: str, new: str):
    assert unknown_key(old) == f"`{old}=` is now `{new}=`"
    groups = {name.rpartition(".")[0] for name, *_ in keys()}
    assert new in {name for name, *_ in keys()} | groups


GROUPS = {
    "callbacks": ["ema", "none"],
    "experiment": ["smoke", "mine"],
    "logger": ["csv"],
    "trainer": ["auto"],
}


def test_the_help_of_prepare_is_its_own():
    text = help_text(GROUPS, "prepare")
    for name, values, _ in keys():
        shown = f"  {name}={values.partition(' ')[0]}" in text
        assert shown == name.startswith(("data.", "cache")), name


@pytest.mark.parametrize("command", ["run", "prepare"])
@pytest.mark.parametrize("installed", [False, True])
def test_the_examples_of_the_help_start_as_the_command_did(command, installed, monkeypatch):
    program = f"/bin/ablations {command}" if installed else f"ablations/{command}.py"
    monkeypatch.setattr(sys, "argv", [program])
    examples = help_text(GROUPS, command).split("\n\n")[2]
    assert (f"  ablations {command} " in examples) is installed
    assert (f"  python ablations/{command}.py " in examples) is not installed


def test_the_help_lists_groups_and_keys_with_values_meanings_and_defaults():
    text = help_text(GROUPS)
    for name, files in GROUPS.items():
        assert f"  {name:<10} {', '.join(files)}\n" in text
    found = " ".join(text.split())
    for name, values, meaning in keys():
        assert name == "experiment" or f" {name}={values} " in found
        assert name == "experiment" or f" {meaning} " in found
    assert "  recipe.lr=a number, above 0 (default 0.01)\n" in text
    assert "  pooling=overlap | nonoverlap\n" in text  # the first
