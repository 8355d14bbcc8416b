import pytest

from ablations.keys import help_text, keys, unknown_key, wrong_value


def test_a_key_has_its_values_and_its_meaning():
    found = {name: (values, meaning) for name, values, meaning in keys()}
    assert found["pooling"][0] == "overlap | nonoverlap"
    assert "(§3.4)" in found["pooling"][1]
    assert found["recipe.lr"][0] == "a number"
    assert found["trainer.slurm.partition"][0] == "a text | null"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lr", "did you mean recipe.lr"),
        ("poolign", "did you mean pooling?"),
        ("foo", "the keys are activation, pooling"),
    ],
)
def test_an_unknown_key_gets_a_hint(key: str, said: str):
    assert unknown_key(key).startswith(f"there is no key `{key}`; {said}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("setting", "experiment"),
        ("network", "model"),
        ("dataset", "data"),
        ("dataset.crop", "data.crop"),
        ("trainer.nodes", "trainer.num_nodes"),
        ("recipe.bias_rate", "recipe.bias_lr_mult"),
        ("stream", "replicate"),
        ("summary", "print_model"),
        ("data.root", "data.path"),
    ],
)
def test_an_old_key_is_answered_with_the_new_one(old: str, new: str):
    assert unknown_key(old) == f"`{old}=` is now `{new}=`"
    groups = {name.rpartition(".")[0] for name, *_ in keys()}
    assert new in {name for name, *_ in keys()} | groups


def test_a_key_that_begins_like_an_old_one_is_none():
    assert unknown_key("networks").startswith("there is no key `networks`")


@pytest.mark.parametrize(
    ("key", "message", "said"),
    [
        ("seed", "Value 'abc' is not", "seed=abc is not valid; seed takes a whole number"),
        ("recipe", "no value", "recipe is a group of keys; set recipe.epochs"),
        ("seed", "ListConfig", "seed: one value goes here, without brackets; seed takes a whole"),
        ("trainer.parallel", "Value 'none' is not", "trainer.parallel=none is not valid; trainer"),
        ("recipe.milestones", "no list", "recipe.milestones: a list in brackets goes here; recipe"),
    ],
)
def test_a_wrong_value_gets_the_right_ones(key: str, message: str, said: str):
    assert wrong_value(key, message).startswith(said)


@pytest.mark.parametrize("old", ["parquet", "image_folder"])
def test_an_old_value_is_answered_with_the_new_one(old: str):
    said = wrong_value("data.source", f"Invalid value '{old}', expected one of [huggingface]")
    assert said == f"`data.source={old}` is now `data.source=huggingface`"


def test_none_is_written_null():
    assert wrong_value("trainer.parallel", "Value 'none'").endswith("use trainer.parallel=null")


def test_the_help_lists_groups_and_keys_within_80_columns():
    text = help_text({"experiment": ["smoke", "mine"]})
    assert "  experiment smoke, mine" in text
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"  {name}=" in text for name, *_ in keys() if name != "experiment")
