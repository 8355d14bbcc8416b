import sys

import pytest

from ablations import keys as table
from ablations.keys import RENAMED, completions, help_text, keys, unknown_key


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
        ("foo", "run.py --help lists all keys"),
        ("networks", "run.py --help lists all keys"),  # it only begins like an old one
        ("trainer.max_epochs", "did you mean recipe.epochs?"),
        ("max_epochs", "did you mean recipe.epochs?"),
        ("precision", "did you mean recipe.precision?"),
        ("trainer.precision", "did you mean recipe.precision?"),
        ("batch_size", "did you mean recipe.batch_size?"),
        ("data.batch_size", "did you mean recipe.batch_size?"),
        ("optimizer.lr", "did you mean recipe.lr?"),
        ("optimizer.betas", "the optimizer is SGD with momentum"),
        ("optimizer", "the optimizer is SGD with momentum"),
        ("ckpt_path", "the same command resumes an interrupted run; pretrained=RUN_ID"),
        ("trainer.resume_from_checkpoint", "the same command resumes"),
        ("gpus", "did you mean trainer.devices?"),
        ("trainer.strategy", "several devices use DDP: trainer.devices=N"),
    ],
)
def test_an_unknown_key_gets_a_hint(key: str, said: str):
    assert unknown_key(key).startswith(f"{key}: no such key; {said}")


def test_a_familiar_name_is_of_no_key_and_leads_to_one():
    names = {name for name, *_ in keys()}
    assert not names & set(table._FAMILIAR)
    for answer in table._FAMILIAR.values():
        assert answer in names or " " in answer


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("pooling=", ["pooling=overlap", "pooling=nonoverlap"]),
        ("norm=l", ["norm=lrn"]),
        ("norm=lrn,", ["norm=lrn,none", "norm=lrn,batchnorm"]),
        ("fast_dev_run=t", ["fast_dev_run=true"]),
        ("recipe.schedule=s", ["recipe.schedule=step"]),
        ("recipe.lr=", []),  # any number
        ("pooling", []),
        ("foo=", []),
    ],
)
def test_values_are_completed(word: str, values: list[str]):
    assert completions(word) == values


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
    assert "ablations/prepare.py experiment=" in text
    assert max(map(len, text.splitlines())) <= 80
    for name, values, _ in keys():
        assert (f"  {name}={values.partition(' ')[0]}" in text) == name.startswith(
            ("data.", "cache")
        ), name


@pytest.mark.parametrize("command", ["run", "prepare"])
@pytest.mark.parametrize("installed", [False, True])
def test_the_examples_of_the_help_start_as_the_command_did(command, installed, monkeypatch):
    program = f"/bin/ablations {command}" if installed else f"ablations/{command}.py"
    monkeypatch.setattr(sys, "argv", [program])
    examples = help_text(GROUPS, command).split("\n\n")[2]
    assert (f"  ablations {command} " in examples) is installed
    assert (f"  python ablations/{command}.py " in examples) is not installed


def test_the_help_lists_groups_and_keys_within_80_columns():
    text = help_text(GROUPS)
    assert text.startswith("usage: ")
    for name, files in GROUPS.items():
        assert f"  {name:<10} {', '.join(files)}\n" in text
    assert max(map(len, text.splitlines())) <= 80
    found = " ".join(text.split())
    assert len(keys()) > 40
    for name, values, meaning in keys():
        assert meaning, name
        assert name == "experiment" or f" {name}={values} " in found
        assert name == "experiment" or f" {meaning} " in found


@pytest.mark.parametrize(
    "shown",
    [
        "recipe.lr=a number, above 0 (default 0.01)\n",
        "recipe.bias_lr_mult=a number, at least 0 | null (default null)\n",
        "fast_dev_run=true | false (default false)\n",
        "output=a string, not empty (default runs)\n",
        "pooling=overlap | nonoverlap\n",  # the first
    ],
)
def test_the_help_shows_each_default_beside_the_values(shown: str):
    assert f"  {shown}" in help_text(GROUPS)
