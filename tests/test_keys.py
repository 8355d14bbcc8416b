import pytest

from ablations.keys import RENAMED, help_text, keys, unknown_key


def test_a_key_has_its_values_and_its_meaning():
    found = {name: (values, meaning) for name, values, meaning in keys()}
    assert found["pooling"][0] == "overlap | nonoverlap"
    assert "(§3.4)" in found["pooling"][1]
    assert found["recipe.momentum"][0] == "a number, at least 0, below 1"
    assert found["trainer.slurm.partition"][0] == "a text | null"
    assert "stream of random numbers" in found["seed"][1]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lr", "did you mean recipe.lr"),
        ("poolign", "did you mean pooling?"),
        ("foo", "the keys are activation, pooling"),
        ("networks", "the keys are"),  # it only begins like an old one
    ],
)
def test_an_unknown_key_gets_a_hint(key: str, said: str):
    assert unknown_key(key).startswith(f"there is no key `{key}`; {said}")


@pytest.mark.parametrize(("old", "new"), [*RENAMED.items(), ("dataset.crop", "data.crop")])
def test_an_old_key_is_answered_with_the_new_one(old: str, new: str):
    assert unknown_key(old) == f"`{old}=` is now `{new}=`"
    groups = {name.rpartition(".")[0] for name, *_ in keys()}
    assert new in {name for name, *_ in keys()} | groups


def test_the_help_lists_groups_and_keys_within_80_columns():
    text = help_text({"experiment": ["smoke", "mine"]})
    assert "  experiment smoke, mine" in text
    assert max(map(len, text.splitlines())) <= 80
    found = " ".join(text.split())
    assert len(keys()) > 40
    for name, values, meaning in keys():
        assert meaning, name
        assert name == "experiment" or f" {name}={values} {meaning} " in found
