from typing import Any

import pytest
import yaml

from ablations.claim import Claim, Decision, Measure, Paper
from ablations.claim_file import find, read
from ablations.config import ConfigError

GOOD = """\
statement: Overlapping windows lower the error.
section: "3.4"
technique: pooling
kind: difference
family: confirmatory
common: [recipe.lr=0.02]
with: [pooling=overlap]
without: [pooling=nonoverlap]
measure:
  metric: top1
  split: test
paper:
  says: 0.4 points
  effect: 0.004
  data: ImageNet
  experiments: [imagenet]
confounds:
  - One run per arm.
decision:
  margin: 0.002
  why: half of it
  looks: [3, 5]
excluded:
  smoke: too small
"""
EXPERIMENTS = ("smoke", "imagenet")


def message_of(tmp_path: Any, text: str) -> str:
    path = tmp_path / "a_claim.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read(path, EXPERIMENTS)
    return str(error.value)


def test_a_good_file_is_a_claim(tmp_path):
    path = tmp_path / "overlap_helps.yaml"
    path.write_text(GOOD)
    claim = read(path, EXPERIMENTS)
    assert claim.name == "overlap_helps"
    assert claim.with_ == ["pooling=overlap"]
    assert claim.decision.looks == (3, 5)
    assert claim.keys == {"recipe.lr", "pooling"}
    assert claim.comparisons == {"": ["pooling=nonoverlap"]}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (
            "statement: Over",
            "statment: Over",
            1,
            "there is no field `statment`; did you mean statement?",
        ),
        ("statement: Overlapping windows lower the error.", 'statement: ""', 1, "statement"),
        ('section: "3.4"', "section: 3.4", 2, "section: must be a text, in quotes where YAML"),
        ("looks: [3, 5]", "looks: 3", 22, "decision.looks: must be a list [A, B] (given: 3)"),
        ('section: "3.4"\n', "", 1, "the field `section` is missing"),
        ("technique: pooling", "technique: poling", 3, "technique: takes activation, pooling"),
        ("kind: difference", "kind: delta", 4, "kind='delta' is not valid; it takes 'difference'"),
        ("kind: difference", "kind: time_to_target", 9, "target and kind: time_to_target go tog"),
        ("kind: difference", "kind: ratio", 12, "effect=0.004: an effect of this kind is above 1"),
        ("family: confirmatory", "family: mine", 5, "family='mine' is not valid"),
        ("[recipe.lr=0.02]", "[recipe.lr]", 6, "common.0: an override is KEY=VALUE"),
        ("[recipe.lr=0.02]", "[seed=1]", 6, "`seed` is for the command line"),
        ("[recipe.lr=0.02]", "recipe.lr=0.02", 6, "common: must be a list [A, B]"),
        ("with: [pooling=overlap]", "with: [pooling=]", 7, "with.0: an override is KEY=VALUE"),
        ("without: [", "parts: {a: [recipe.lr=1]}\nwithout: [", 8, "parts: stand in place of"),
        ("metric: top1", "metric: top2", 10, "measure.metric='top2' is not valid; it takes 'top1'"),
        ("metric: top1", "metric: loss", 9, "measure: averaged views have no loss"),
        ("metric: top1\n  split: test", "metric: color\n  split: val", 9, "metric: color is of"),
        ("  split: test", "  split: test\n  epoch: 1", 9, "only split: val and split: running"),
        ("  split: test", "  split: test\n  target: 2", 12, "measure.target: Input should be less"),
        ("effect: 0.004", "effect: a lot", 14, "paper.effect: must be a number"),
        (
            "[imagenet]",
            "[imagnet]",
            16,
            "paper.experiments.0: there is no experiment `imagnet`; it t",
        ),
        ("  data: ImageNet\n", "", 12, "the field `paper.data` is missing"),
        ("confounds:\n  - One run per arm.\n", "", 1, "the field `confounds` is missing"),
        ("margin: 0.002", "margin: 0", 19, "decision: margin=0: an effect of this kind is above 0"),
        ("margin: 0.002", "margin: .nan", 20, "decision.margin: Input should be a finite number"),
        ("looks: [3, 5]", "looks: [5, 3]", 22, "decision.looks: must be rising numbers of pairs"),
        ("looks: [3, 5]", "looks: [1, 5]", 22, "decision.looks: must be rising numbers of pairs"),
        ("smoke: too", "smok: too", 24, "excluded.smok: there is no experiment `smok`"),
        ("excluded:", "ensemble: 5\nexcluded:", 23, "ensemble: is for claims with technique"),
        ("excluded:", "section: x\nexcluded:", 23, "not YAML: `section` is there twice"),
        ("excluded:", "excluded: [", 25, "not YAML"),
        (GOOD, "just a text", 1, "a claim file is a mapping of fields"),
        (GOOD, "", 1, "a claim file is a mapping of fields"),
    ],
)
def test_a_broken_field_is_named_with_its_line(tmp_path, old, new, line, words):
    assert old in GOOD
    message = message_of(tmp_path, GOOD.replace(old, new, 1))
    assert message.startswith(f"{tmp_path.name}/a_claim.yaml:{line}: "), message
    assert words in message
    assert "\n" not in message


PARTS = {"measure": Measure, "paper": Paper, "decision": Decision}
FIELDS = [
    *((entry.alias or name,) for name, entry in Claim.model_fields.items() if name != "name"),
    *((part, name) for part, model in PARTS.items() for name in model.model_fields),
]


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_each_field_broken_in_turn_is_named(tmp_path, place):
    values = yaml.safe_load(GOOD)
    *outer, last = place
    part = values[outer[0]] if outer else values
    part[last] = {"nonsense": {"in": "it"}}  # fits no field, of whatever type
    text = yaml.safe_dump(values, sort_keys=False)
    first = next(n for n, line in enumerate(text.splitlines(), 1) if line.strip() == f"{last}:")
    file, line, message = message_of(tmp_path, text).split(":", 2)
    assert file == f"{tmp_path.name}/a_claim.yaml"
    assert first <= int(line) <= first + 2
    assert ".".join(place) in message
    assert "\n" not in message


def test_every_field_that_must_be_there_is_missed(tmp_path):
    values = yaml.safe_load(GOOD)
    for name in values.keys() - {"common", "with", "without", "excluded"}:
        rest = {key: value for key, value in values.items() if key != name}
        assert f"the field `{name}` is missing" in message_of(tmp_path, yaml.safe_dump(rest))


@pytest.fixture
def sweeps(tmp_path):
    for name in ("dropout_curbs_overfitting", "dropout_doubles_iterations", "lrn_lowers_error"):
        (tmp_path / f"{name}.yaml").write_text(GOOD)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "grid.yaml").write_text("program: ablations/run.py")
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "count"),
    [(["all"], 3), (["dropout_*"], 2), (["lrn_lowers_error"], 1), (["*", "lrn_lowers_error"], 3)],
)
def test_claims_are_found_by_name_and_by_glob(sweeps, patterns, count):
    found = [claim.name for claim in find(patterns, sweeps, EXPERIMENTS)]
    assert len(found) == count
    assert found == sorted(set(found))


@pytest.mark.parametrize("pattern", ["lrn_lower_error", "lrnn", "lowrs"])
def test_an_unknown_claim_is_answered_with_close_ones(sweeps, pattern):
    with pytest.raises(ConfigError, match=r"no claim .*did you mean .*lrn_lowers_error"):
        find([pattern], sweeps, EXPERIMENTS)


def test_an_unknown_claim_like_nothing_else_says_where_to_look(sweeps):
    with pytest.raises(ConfigError, match="`sweep` alone lists them"):
        find(["zzzzzz"], sweeps, EXPERIMENTS)
