import re
from pathlib import Path

import pytest
import yaml

from ablations.claims.files import (
    ad_hoc,
    claim_files,
    folders,
    read_claims,
    read_study,
    study_files,
)
from ablations.claims.schema import Claim, ClaimPlan, Grid, Margin, Measure, Paper, Study, Tuning
from ablations.composition import shipped
from ablations.config import ConfigError

CLAIM = """\
statement: Overlapping windows lower the error.
section: "3.4"
family: paper
technique: pooling
common: [recipe.lr=0.02]
with: [pooling=overlap]
without: [pooling=nonoverlap]
measure:
  of: test_error
  direction: lower
paper:
  says: 0.4 points
  data: ImageNet
  effect: 0.004
  error: 0.4
  top5: [0.003, 0.18]
  experiments: [imagenet]
confounds:
  - One run per arm.
excluded:
  smoke: too small
"""
STUDY = """\
title: A study
experiment: smoke
changes: [recipe.epochs=3]
claims:
  a_claim:
    looks: [3, 5]
    grid: {with: [0.01, 0.02], without: [0.02, 0.04]}
    target: 0.5
    why_target: a pilot
    margin: {margin: 1.02, why: a pilot}
    planning_sd: 0.01
looks: [3, 5, 8]
tuning:
  key: recipe.lr
  values: [0.01, 0.02]
"""
# Without a figure of the paper: a study may give it another margin.
PLAIN = CLAIM.replace("  effect: 0.004\n", "") + "margin: 1.05\nwhy: we say so\n"


def write(name: str, text: str | bytes) -> Path:
    """Write a file into the user's own ``./sweeps``."""
    path = Path("sweeps") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message_of(text: str | bytes) -> str:
    write("a_claim.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_claims(["a_claim"])
    return str(error.value)


def study_message_of(text: str, claim: str = PLAIN) -> str:
    write("a_claim.yaml", claim)
    path = write("studies/a_study.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_study(path)
    return str(error.value)


# Claims


def test_a_valid_file_is_read_as_a_claim() -> None:
    write("overlap_helps.yaml", CLAIM)
    [claim] = read_claims(["overlap_helps"])
    assert claim.name == "overlap_helps"
    assert claim.with_ == ["pooling=overlap"]
    assert claim.paper.top5 == (0.003, 0.18)
    assert claim.chosen == {"pooling"}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("statement: O", "statment: O", 1, "no field `statment`; did you mean statement?"),
        ("Overlapping windows lower the error.", '""', 1, "statement: must not be empty"),
        ('section: "3.4"', "section: 3.4", 2, "section: must be a text, in quotes where YAML"),
        ('section: "3.4"\n', "", 1, "the field `section` is missing"),
        ("family: paper", "family: mine", 3, "family='mine' is not valid; it takes 'paper', 'ext"),
        ("technique: pooling", "technique: poling", 4, "technique: takes activation, pooling"),
        ("[recipe.lr=0.02]", "[recipe.lr]", 5, "common.0: an override is KEY=VALUE"),
        ("[recipe.lr=0.02]", "['recipe lr=1']", 5, "common.0: an override is KEY=VALUE"),
        ("[recipe.lr=0.02]", "[seed=1]", 5, "common.0: `seed` is for the command line"),
        ("[recipe.lr=0.02]", "[trainer.devices=2]", 5, "`trainer.devices` is for the command"),
        ("[recipe.lr=0.02]", "recipe.lr=0.02", 5, "common: must be a list [A, B]"),
        ("[pooling=overlap]", "[pooling=]", 6, "with.0: an override is KEY=VALUE"),
        ("without: [", "parts: {a: {without: [x=1]}}\nwithout: [", 7, "parts: replace `without`"),
        ("of: test_error", "of: test_eror", 9, "measure.of='test_eror' is not valid; it takes 't"),
        ("direction: lower", "direction: up", 10, "measure.direction='up' is not valid"),
        ("direction: lower", "curve: best", 10, "measure.curve='best' is not valid"),
        ("direction: lower", "target: 2", 10, "measure.target: Input should be less"),
        ("direction: lower", "metric: top1", 10, "no field `measure.metric`; the fields are of, d"),
        ("  data: ImageNet\n", "", 11, "the field `paper.data` is missing"),
        ("effect: 0.004", "effect: a lot", 14, "paper.effect: must be a number"),
        ("effect: 0.004", "effect: .nan", 14, "paper.effect: Input should be a finite number"),
        ("error: 0.4", "error: 40", 15, "paper.error: Input should be less than 1"),
        ("[0.003, 0.18]", "[0.003]", 16, "paper.top5.1"),
        ("[0.003, 0.18]", "[0.3, 18]", 16, "paper.top5.1: Input should be less than 1"),
        ("[imagenet]", "[imagnet]", 17, "paper.experiments.0: there is no experiment `imagnet`; i"),
        ("confounds:\n  - One run per arm.\n", "", 1, "the field `confounds` is missing"),
        ("smoke: too", "smok: too", 20, "excluded: there is no experiment or model `smok`"),
        ("excluded:", "margin: 1.02\nexcluded:", 1, "why: is missing; say where the margin comes"),
        ("excluded:", "margin: 0.01\nexcluded:", 20, "margin: an effect of this measure is above"),
        ("excluded:", "trained_out: never\nexcluded:", 20, "trained_out: "),
        ("excluded:", "ensemble: 5\nexcluded:", 1, "ensemble: goes together with technique: ens"),
        ("technique: pooling", "technique: ensemble", 1, "ensemble: goes together with technique"),
        ("technique: pooling", "technique: neighbors", 1, "measure.of: neighbors goes together"),
        ("of: test_error", "of: neighbors", 1, "measure.of: neighbors goes together with techn"),
        ("effect: 0.004", "effect: -0.004", 1, "paper.effect: -0.004 must be above 0, in the pa"),
        ("effect: 0.004", "effect: 0", 1, "paper.effect: 0 must be above 0, in the paper's dire"),
        ("effect: 0.004", "effect: 0.6", 1, "paper.effect: 0.6 is a difference of errors, as a"),
        ("excluded:", "ensemble: 1\nexcluded:", 20, "ensemble: Input should be greater than or eq"),
        ("  effect: 0.004\n", "", 1, "margin: is missing, and the paper gives no effect"),
        ("  error: 0.4\n", "", 1, "paper.error: is missing"),
        ("of: test_error", "of: epochs_to_error", 1, "paper.effect: a ratio of times is above 1"),
        # Not YAML.
        ("excluded:", "section: x\nexcluded:", 20, "not YAML: `section` is there twice"),
        ("effect: 0.004", "says: twice", 14, "not YAML: `says` is there twice"),
        ("excluded:", "excluded: [", 22, "not YAML: "),
        (CLAIM, "just a text", 1, "must be a mapping of fields"),
        (CLAIM, "- a\n- b", 1, "must be a mapping of fields"),
        (CLAIM, "", 1, "must be a mapping of fields"),
    ],
)
def test_a_broken_field_is_named_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in CLAIM
    message = message_of(CLAIM.replace(old, new, 1))
    assert message.startswith(f"sweeps/a_claim.yaml:{line}: "), message
    assert words in message
    assert "\n" not in message


PARTS = {"measure": Measure, "paper": Paper}
FIELDS = [
    *((entry.alias or name,) for name, entry in Claim.model_fields.items() if name != "name"),
    *((part, name) for part, model in PARTS.items() for name in model.model_fields),
]


@pytest.mark.parametrize("place", FIELDS, ids=".".join)
def test_each_field_of_a_wrong_type_is_named(place: tuple[str, ...]) -> None:
    values = yaml.safe_load(CLAIM)
    *outer, last = place
    part = values[outer[0]] if outer else values
    part[last] = {"nonsense": {"in": "it"}}  # valid for no field
    text = yaml.safe_dump(values, sort_keys=False)
    first = next(n for n, line in enumerate(text.splitlines(), 1) if line.strip() == f"{last}:")
    file, line, message = message_of(text).split(":", 2)
    assert file == "sweeps/a_claim.yaml"
    assert first <= int(line) <= first + 2
    assert ".".join(place) in message
    assert "\n" not in message


def test_every_missing_field_without_a_default_is_named() -> None:
    values = yaml.safe_load(CLAIM)
    for name in ("statement", "section", "family", "technique", "paper", "confounds"):
        rest = {key: value for key, value in values.items() if key != name}
        assert f"the field `{name}` is missing" in message_of(yaml.safe_dump(rest))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CLAIM.encode("utf-16"), id="utf-16"),
        pytest.param(CLAIM.replace("points", "p\xf6ints").encode("latin-1"), id="latin-1"),
        pytest.param(CLAIM.replace("points", "poi\0nts"), id="NUL"),
        pytest.param(CLAIM + "? [a, b]\n: c\n", id="a list as a key"),
        pytest.param(CLAIM + "? {a: b}\n: c\n", id="a mapping as a key"),
        pytest.param("a: " + "[" * 5000, id="deeply nested"),
        pytest.param("a: &a [*a]", id="within itself"),
        pytest.param(CLAIM + "other: !!python/object:os.system x\n", id="an object"),
    ],
)
def test_what_is_not_yaml_or_not_plain_values_is_refused_in_one_line(content: str | bytes) -> None:
    message = message_of(content)
    assert message.startswith("sweeps/a_claim.yaml:")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("family", "of", "margin", "least"),
    [
        ("extension", "test_error", 0.02, 1),
        ("control", "train_error", 1.0, 1),
        ("paper", "steps_to_loss", 0.5, 1),
        ("paper", "gap", 0.0, 0),
        ("paper", "color", -0.1, 0),
    ],
)
def test_a_margin_that_is_no_effect_is_refused(
    family: str, of: str, margin: float, least: int
) -> None:
    values = yaml.safe_load(CLAIM) | {"family": family, "measure": {"of": of}}
    values |= {"margin": margin, "why": "half", "paper": {"says": "it", "data": "none"}}
    assert f"margin: an effect of this measure is above {least}" in message_of(
        yaml.safe_dump(values)
    )


# Names and folders

NAMES = ("dropout_curbs_overfitting", "dropout_doubles_iterations", "lrn_lowers_error")


@pytest.fixture
def no_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave three claims of the user and none of ours."""
    monkeypatch.setattr("ablations.claims.files.shipped", lambda folder: Path("none") / folder)
    for name in NAMES:
        write(f"{name}.yaml", CLAIM)
    write("studies/small.yaml", STUDY)
    write("notes/grid.yaml", "program: ablations/run.py")


@pytest.mark.parametrize(
    ("patterns", "count"),
    [(["all"], 3), (["dropout_*"], 2), (["lrn_lowers_error"], 1), (["*", "lrn_lowers_error"], 3)],
)
def test_claims_are_found_by_name_and_by_glob(
    no_shipped: None, patterns: list[str], count: int
) -> None:
    found = [claim.name for claim in read_claims(patterns)]
    assert len(found) == count
    assert found == sorted(set(found))


@pytest.mark.parametrize("pattern", ["lrn_lower_error", "lrnn", "lowrs"])
def test_an_unknown_claim_is_answered_with_similar_names(no_shipped: None, pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"no claim .*did you mean .*lrn_lowers_error"):
        read_claims([pattern])


def test_a_misspelt_study_is_answered_with_its_name(no_shipped: None) -> None:
    with pytest.raises(ConfigError, match=r"no claim or study `smal`; did you mean small\?"):
        read_claims(["smal"])


def test_an_unknown_claim_like_no_other_names_the_command_that_lists_them(
    no_shipped: None,
) -> None:
    with pytest.raises(ConfigError, match="`zzzzzz`; `reproduce` lists them"):
        read_claims(["zzzzzz"])


def test_files_of_the_user_come_before_those_of_this_version(tmp_path: Path) -> None:
    assert folders() == [tmp_path / "sweeps", shipped("sweeps").resolve()]
    name = "lrn_lowers_error"
    assert claim_files()[name] == shipped("sweeps").resolve() / f"{name}.yaml"
    own = write(f"{name}.yaml", CLAIM)
    assert claim_files()[name] == own.resolve()
    assert [claim.statement for claim in read_claims([name])] == [
        "Overlapping windows lower the error."
    ]


def test_in_a_clone_each_folder_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped("sweeps").parent)
    assert folders() == [shipped("sweeps").resolve()]


# Studies


def test_a_valid_file_is_read_as_a_study_and_its_claims() -> None:
    write("a_claim.yaml", PLAIN)
    path = write("studies/a_study.yaml", STUDY)
    assert study_files()["a_study"] == path.resolve()
    study, [claim] = read_study(path)
    assert (study.name, claim.name) == ("a_study", "a_claim")
    assert study.plan_of(claim).grid == Grid(**{"with": [0.01, 0.02], "without": [0.02, 0.04]})
    assert study.looks_of(claim) == (3, 5)
    assert study.margin_of(claim)[1] == "a pilot"


@pytest.mark.parametrize(
    "claims", ["claims: [a_claim]", "claims: {a_claim: }", "claims:\n  a_claim:"]
)
def test_a_study_may_only_list_its_claims(claims: str) -> None:
    write("a_claim.yaml", CLAIM)
    path = write("studies/a_study.yaml", f"title: A study\nexperiment: smoke\n{claims}\n")
    study, [claim] = read_study(path)
    assert study.plan_of(claim) == ClaimPlan()


def test_a_study_that_names_an_unknown_claim_is_refused() -> None:
    message = study_message_of(STUDY.replace("a_claim:", "a_clame:"))
    assert message == (
        "sweeps/studies/a_study.yaml: there is no claim `a_clame`; did you mean a_claim?"
    )
    message = study_message_of(STUDY.replace("a_claim:", "zzzzzz:"))
    assert message == "sweeps/studies/a_study.yaml: there is no claim `zzzzzz`"


def test_a_broken_claim_of_a_study_is_named_by_its_own_file() -> None:
    write("b_claim.yaml", CLAIM.replace("section", "sectoin"))
    message = study_message_of(STUDY.replace("a_claim:", "b_claim:"))
    assert message.startswith("sweeps/b_claim.yaml:2: there is no field `sectoin`")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("title: A study\n", "", 1, "the field `title` is missing"),
        ("title: A", "titel: A", 1, "there is no field `titel`; did you mean title?"),
        ("experiment: smoke", "experiment: smok", 2, "there is no experiment `smok`; it takes cif"),
        ("[recipe.epochs=3]", "[recipe.epochs]", 3, "changes.0: an override is KEY=VALUE"),
        ("[recipe.epochs=3]", "[seed=3]", 3, "changes.0: `seed` is for the command line"),
        ("  a_claim:", "  a_claim: 5\n  b_claim:", 5, "claims.a_claim"),
        ("[3, 5]\n", "[5, 3]\n", 6, "claims.a_claim.looks: must be rising numbers of pairs"),
        ("[3, 5]\n", "[1, 5]\n", 6, "claims.a_claim.looks: must be rising numbers of pairs"),
        ("[3, 5]\n", "3\n", 6, "claims.a_claim.looks: must be a list [A, B]"),
        ("[3, 5, 8]", "[]", 12, "looks: must be rising numbers of pairs"),
        ("with: [0.01, 0.02], ", "", 7, "the field `claims.a_claim.grid.with` is missing"),
        ("with: [0.01", "wiht: [0.01", 7, "no field `claims.a_claim.grid.wiht`; did you mean wi"),
        ("target: 0.5", "target: -1", 8, "claims.a_claim.target: Input should be greater"),
        ("    target: 0.5\n", "", 8, "why_target: there is no target to explain"),
        ("margin: 1.02, ", "", 10, "the field `claims.a_claim.margin.margin` is missing"),
        ("planning_sd", "planing_sd", 11, "no field `claims.a_claim.planing_sd`; did you mean pl"),
        ("[0.01, 0.02]\n", "[]\n", 15, "tuning.values: must have at least 2 values"),
        ("[0.01, 0.02]\n", "[0.01]\n", 15, "tuning.values: "),
        ("[0.01, 0.02]\n", "[0.02, 0.01]\n", 15, "tuning.values: must be rising numbers"),
        ("  key: recipe.lr", "  key: init", 14, "tuning.key="),
        ("  key: recipe.lr", "  seeds: [2, 1]", 14, "tuning.seeds: must be rising numbers"),
        ("with: [0.01, 0.02]", "with: [0.01]", 7, "claims.a_claim.grid.with: "),
        ("with: [0.01, 0.02]", "with: [0.02, 0.01]", 7, "a_claim.grid.with: must be rising numb"),
        ("[0.02, 0.04]", "[0.02, 0.02]", 7, "claims.a_claim.grid.without: must be rising numbers"),
        ("tuning:", "first_seed: -1\ntuning:", 13, "first_seed: Input should be greater"),
        ("tuning:", "gate_seeds: []\ntuning:", 13, "gate_seeds: must have at least"),
        ("tuning:", "gate_seeds: [1, 2, 3, 4]\ntuning:", 13, "gate_seeds: "),
        ("tuning:", "gate_seeds: [1, 2, 3, 4, 4]\ntuning:", 13, "gate_seeds: must be rising numb"),
        ("tuning:", "claims: [a_claim]\ntuning:", 13, "not YAML: `claims` is there twice"),
    ],
)
def test_a_broken_field_of_a_study_is_named_with_its_line(
    old: str, new: str, line: int, words: str
) -> None:
    assert old in STUDY
    message = study_message_of(STUDY.replace(old, new, 1))
    assert message.startswith(f"sweeps/studies/a_study.yaml:{line}: "), message
    assert words in message
    assert "\n" not in message


def test_a_margin_of_a_study_is_refused_where_the_paper_gives_a_figure() -> None:
    assert study_message_of(STUDY, CLAIM) == (
        "sweeps/studies/a_study.yaml: claims.a_claim.margin: the paper gives a figure, and the "
        "margin is half of it; leave `margin` out"
    )


def test_a_margin_of_a_study_that_is_no_effect_is_refused() -> None:
    message = study_message_of(STUDY.replace("margin: 1.02", "margin: 0.02"))
    assert message == (
        "sweeps/studies/a_study.yaml: claims.a_claim.margin: margin=0.02, and an effect of this "
        "measure is above 1"
    )


@pytest.mark.parametrize("target", [1, 2.5])
def test_a_target_that_is_no_error_is_refused_where_errors_are_timed(target: float) -> None:
    text = STUDY.replace("target: 0.5", f"target: {target}")
    message = study_message_of(text, PLAIN.replace("of: test_error", "of: epochs_to_error"))
    assert message == (
        f"sweeps/studies/a_study.yaml: claims.a_claim.target: target={target:g} must be an error "
        "below 1"
    )
    # A loss in nats may be above 1.
    write("a_claim.yaml", PLAIN.replace("of: test_error", "of: steps_to_loss"))
    study, [claim] = read_study(write("studies/a_study.yaml", text))
    assert study.target_of(claim) == target


@pytest.mark.parametrize(
    "claims",
    [
        *("[{a_claim: {looks: [3]}}]", "[a_claim, {b_claim: }]", "[[a_claim]]"),
        *("[3]", "a_claim", "\n  - a_claim:\n      looks: [3]"),
    ],
)
def test_claims_that_are_neither_names_nor_a_mapping_are_refused_in_one_line(claims: str) -> None:
    message = study_message_of(f"title: A study\nexperiment: smoke\nclaims: {claims}\n")
    assert re.match(r"sweeps/studies/a_study\.yaml:[34]: claims: must be a mapping", message)
    assert "\n" not in message


STUDY_PARTS = {
    ("tuning",): Tuning,
    ("claims", "a_claim"): ClaimPlan,
    ("claims", "a_claim", "margin"): Margin,
    ("claims", "a_claim", "grid"): Grid,
}
STUDY_FIELDS = [
    *((name,) for name in Study.model_fields if name not in ("name", "claims")),
    *(
        (*part, entry.alias or name)
        for part, model in STUDY_PARTS.items()
        for name, entry in model.model_fields.items()
    ),
]


@pytest.mark.parametrize("place", STUDY_FIELDS, ids=".".join)
def test_each_field_of_a_study_of_a_wrong_type_is_named(place: tuple[str, ...]) -> None:
    values = yaml.safe_load(STUDY)
    *outer, last = place
    part = values
    for name in outer:
        part = part[name]
    part[last] = {"nonsense": {"in": "it"}}
    message = study_message_of(yaml.safe_dump(values, sort_keys=False))
    assert message.startswith("sweeps/studies/a_study.yaml:")
    assert ".".join(place) in message
    assert "\n" not in message


def test_every_shipped_study_is_valid() -> None:
    for path in sorted((shipped("sweeps") / "studies").glob("*.yaml")):
        study, claims = read_study(path)
        assert study.name == path.stem
        assert [claim.name for claim in claims] == list(study.claims)


# Claims without a study


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("pretrained=0123456789ab", "claims are on networks that start from random weights"),
        ("seed=3", "the study chooses the seeds"),
        ("fast_dev_run=true", "a verdict needs records"),
        ("print_model=true", r"it is for ablations/run\.py"),
    ],
)
def test_what_no_study_can_have_is_refused_for_claims_without_one(
    override: str, reason: str
) -> None:
    write("a_claim.yaml", CLAIM)
    claims = read_claims(["a_claim"])
    with pytest.raises(ConfigError, match=f"{override} cannot be set for a study: {reason}"):
        ad_hoc(claims, claims, ["experiment=smoke", override])
