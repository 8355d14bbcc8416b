import pytest

from ablations.keys import RENAMED, keys, unknown_key


def test_a_key_has_its_values_and_its_meaning():
    values, meaning = keys()["pooling"]
    assert values == "overlap | nonoverlap"
    assert "(§3.4)" in meaning
    assert keys()["trainer.slurm.partition"][0] == "a string | null"
    assert "random numbers" in keys()["seed"][1]


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
    assert new in keys().keys() | {name.rpartition(".")[0] for name in keys()}
