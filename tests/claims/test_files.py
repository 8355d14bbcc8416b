"""Claim and study files: what they take, and how a mistake in them is answered."""

from pathlib import Path

import pytest
import yaml

from ablations.claims.files import ad_hoc, claim_files, read_claims, read_study, study_files
from ablations.claims.schema import ClaimPlan
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
  one run: One run per arm.
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
    """Return how a claim file is refused."""
    write("a_claim.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_claims(["a_claim"])
    assert "\n" not in str(error.value)
    return str(error.value)


def study_message_of(text: str, claim: str = PLAIN) -> str:
    """Return how a study file is refused."""
    write("a_claim.yaml", claim)
    path = write("studies/a_study.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_study(path)
    assert "\n" not in str(error.value)
    return str(error.value)


# Fields


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("statement: O", "statment: O", 1, "no field `statment`; did you mean statement?"),
        ("Overlapping windows lower the error.", '""', 1, "statement: must not be empty"),
        ('section: "3.4"', "section: 3.4", 2, "section: must be a string, in quotes where Y"),
        ('section: "3.4"\n', "", 1, "the field `section` is missing"),
        ("  data: ImageNet\n", "", 11, "the field `paper.data` is missing"),
        ("family: paper", "family: mine", 3, "family='mine' is not valid; it takes 'paper', 'ext"),
        (
            "technique: pooling",
            "technique: poling",
            4,
            "technique: must be one of activation, pooling",
        ),
        ("[recipe.lr=0.02]", "[recipe.lr]", 5, "common.0: must be KEY=VALUE"),
        ("[recipe.lr=0.02]", "['+recipe.lr=1']", 5, "common.0: must be KEY=VALUE"),
        ("[recipe.lr=0.02]", "[trainer.devices=2]", 5, "`trainer.devices` is only for the command"),
        ("[recipe.lr=0.02]", "recipe.lr=0.02", 5, "common: must be a list [A, B]"),
        (
            "without: [",
            "parts: {a: {without: [x=1]}}\nwithout: [",
            7,
            "parts: cannot be combined with `without`",
        ),
        ("direction: lower", "metric: top1", 10, "no field `measure.metric`; the fields are of, d"),
        ("direction: lower", "target: 2", 10, "measure.target: Input should be less"),
        ("effect: 0.004", "effect: a lot", 14, "paper.effect: must be a number"),
        ("effect: 0.004", "effect: .nan", 14, "paper.effect: Input should be a finite number"),
        ("[0.003, 0.18]", "[0.3, 18]", 16, "paper.top5.1: Input should be less than 1"),
        ("[imagenet]", "[imagnet]", 17, "there is no experiment `imagnet`; it takes cifar10"),
        ("smoke: too", "smok: too", 21, "there is no experiment or model `smok`; it takes"),
        # Fields that contradict each other.
        ("excluded:", "margin: 1.02\nexcluded:", 1, "why: missing; next step: give the reason"),
        ("  effect: 0.004\n", "", 1, "margin: missing; required if the paper gives no"),
        ("  error: 0.4\n", "", 1, "paper.error: missing"),
        ("excluded:", "ensemble: 5\nexcluded:", 1, "ensemble: required for technique: ensemble"),
        ("technique: pooling", "technique: ensemble", 1, "ensemble: required for technique"),
        ("of: test_error", "of: neighbors", 1, "measure.of: must be neighbors for technique"),
        ("effect: 0.004", "effect: -0.004", 1, "paper.effect: -0.004 must be above 0, in the pa"),
        ("effect: 0.004", "effect: 0.6", 1, "paper.effect: 0.6 must be a difference of errors"),
        (
            "of: test_error",
            "of: epochs_to_error",
            1,
            "paper.effect: must be a ratio of times, above 1",
        ),
        # Not YAML.
        ("effect: 0.004", "says: twice", 14, "not YAML: `says` is given twice"),
        ("excluded:", "excluded: [", 22, "not YAML: "),
        (CLAIM, "- a\n- b", 1, "must be a mapping of fields"),
        (CLAIM, "", 1, "must be a mapping of fields"),
    ],
)
def test_a_mistake_in_a_claim_is_named_with_its_line(
    old: str, new: str, line: int, words: str
) -> None:
    assert old in CLAIM
    message = message_of(CLAIM.replace(old, new, 1))
    assert message.startswith(f"sweeps/a_claim.yaml:{line}: "), message
    assert words in message


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("experiment: smoke", "experiment: smok", 2, "there is no experiment `smok`; it takes cif"),
        ("[recipe.epochs=3]", "[seed=3]", 3, "changes.0: `seed` is only for the command line"),
        ("  a_claim:", "  a_claim: 5\n  b_claim:", 5, "claims.a_claim"),
        (
            "[3, 5]\n",
            "[5, 3]\n",
            6,
            "claims.a_claim.looks: must be increasing numbers of pairs, at",
        ),
        ("[3, 5, 8]", "[1, 5]", 12, "looks: must be increasing numbers of pairs, at least 2"),
        ("[3, 5, 8]", "[]", 12, "looks: must be increasing numbers of pairs"),
        ("with: [0.01, 0.02], ", "", 7, "the field `claims.a_claim.grid.with` is missing"),
        ("with: [0.01", "wiht: [0.01", 7, "no field `claims.a_claim.grid.wiht`; did you mean wi"),
        ("target: 0.5", "target: -1", 8, "claims.a_claim.target: Input should be greater"),
        ("    target: 0.5\n", "", 8, "why_target: needs `target`, which it explains"),
        ("[0.01, 0.02]\n", "[0.01]\n", 15, "tuning.values: must have at least 2 values"),
        ("[0.01, 0.02]\n", "[0.02, 0.01]\n", 15, "tuning.values: must be increasing numbers"),
        ("[0.02, 0.04]", "[0.02, 0.02]", 7, "claims.a_claim.grid.without: must be increasing numb"),
        ("  key: recipe.lr", "  key: init", 14, "tuning.key='init' is not valid; it takes recipe"),
        ("  key: recipe.lr", "  seeds: [2, 1]", 14, "tuning.seeds: must be increasing numbers"),
        ("tuning:", "gate_seeds: [1, 2, 3, 4]\ntuning:", 13, "gate_seeds: must have at least 5"),
        ("tuning:", "gate_seeds: [1, 2, 3, 4, 4]\ntuning:", 13, "gate_seeds: must be increasing n"),
    ],
)
def test_a_mistake_in_a_study_is_named_with_its_line(
    old: str, new: str, line: int, words: str
) -> None:
    assert old in STUDY
    message = study_message_of(STUDY.replace(old, new, 1))
    assert message.startswith(f"sweeps/studies/a_study.yaml:{line}: "), message
    assert words in message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CLAIM.encode("utf-16"), id="utf-16"),
        pytest.param(CLAIM.replace("points", "p\xf6ints").encode("latin-1"), id="latin-1"),
        pytest.param(CLAIM.replace("points", "poi\0nts"), id="NUL"),
        pytest.param(CLAIM + "? [a, b]\n: c\n", id="a list as a key"),
        pytest.param("a: " + "[" * 5000, id="deeply nested"),
        pytest.param("a: &a [*a]", id="within itself"),
        pytest.param("a: 2012-99-99", id="a date that does not exist"),
        pytest.param(CLAIM + "other: !!python/object:os.system x\n", id="an object"),
    ],
)
def test_what_is_not_yaml_or_not_plain_values_is_refused_in_one_line(content: str | bytes) -> None:
    assert message_of(content).startswith("sweeps/a_claim.yaml:")


@pytest.mark.parametrize(
    ("of", "margin", "least"),
    [
        ("test_error", 0.02, 1),
        ("train_error", 1.0, 1),
        ("steps_to_loss", 0.5, 1),
        ("gap", 0.0, 0),
        ("color", -0.1, 0),
    ],
)
def test_a_margin_that_is_no_effect_is_refused(of: str, margin: float, least: int) -> None:
    values = yaml.safe_load(PLAIN) | {"measure": {"of": of}}
    message = message_of(yaml.safe_dump(values | {"margin": margin}))
    assert f"margin: must be above {least} for this measure" in message
    plan = {"margin": {"margin": margin, "why": "a pilot"}}
    study = yaml.safe_load(STUDY) | {"claims": {"a_claim": plan}}
    own = yaml.safe_dump(values | {"margin": least + 0.5})
    message = study_message_of(yaml.safe_dump(study), own)
    assert f"margin={margin:g} must be above {least} for this measure" in message


# Names and folders


@pytest.fixture
def no_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave three claims of the user and none of ours."""
    monkeypatch.setattr("ablations.claims.files.shipped", lambda folder: Path("none") / folder)
    for name in ("dropout_curbs_overfitting", "dropout_doubles_iterations", "lrn_lowers_error"):
        write(f"{name}.yaml", CLAIM)
    write("studies/small.yaml", STUDY)


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


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("lrn_lower_error", "did you mean lrn_lowers_error"),
        ("lrnn", "did you mean lrn_lowers_error"),
        ("smal", "did you mean small"),
        ("zzzzzz", r"reproduce\.py lists them"),
    ],
)
def test_an_unknown_name_is_answered_with_similar_ones(
    no_shipped: None, name: str, answer: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: no such claim or study; {answer}"):
        read_claims([name])


def test_files_of_the_user_come_before_those_of_this_version() -> None:
    name = "lrn_lowers_error"
    assert claim_files()[name] == shipped("sweeps").resolve() / f"{name}.yaml"
    own = write(f"{name}.yaml", CLAIM)
    assert claim_files()[name] == own.resolve()
    [claim] = read_claims([name])
    assert (claim.name, claim.statement) == (name, "Overlapping windows lower the error.")


# Studies


def test_a_study_is_read_with_its_claims() -> None:
    write("a_claim.yaml", PLAIN)
    path = write("studies/a_study.yaml", STUDY)
    assert study_files()["a_study"] == path.resolve()
    study, [claim] = read_study(path)
    assert (study.name, claim.name) == ("a_study", "a_claim")
    assert [study.grid_of(claim, side) for side in ("with", "without")] == [
        [0.01, 0.02],
        [0.02, 0.04],
    ]
    assert study.looks_of(claim) == (3, 5)
    assert study.margin_of(claim)[1] == "a pilot"


@pytest.mark.parametrize("claims", ["[a_claim]", "{a_claim: }", "\n  a_claim:"])
def test_a_study_may_only_list_its_claims(claims: str) -> None:
    write("a_claim.yaml", CLAIM)
    path = write("studies/a_study.yaml", f"title: A\nexperiment: smoke\nclaims: {claims}\n")
    study, [claim] = read_study(path)
    assert study.plan_of(claim) == ClaimPlan()


@pytest.mark.parametrize("claims", ["[{a_claim: {looks: [3]}}]", "[[a_claim]]", "[3]", "a_claim"])
def test_claims_that_are_neither_names_nor_a_mapping_are_refused(claims: str) -> None:
    message = study_message_of(f"title: A study\nexperiment: smoke\nclaims: {claims}\n")
    assert message.startswith("sweeps/studies/a_study.yaml:3: claims: must be a mapping")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a_claim:", "a_clame:", "there is no claim `a_clame`; did you mean a_claim?"),
        ("a_claim:", "zzzzzz:", "there is no claim `zzzzzz`"),
        (
            "looks: [3, 5, 8]",
            "first_seed: 996",
            "would use seed 1000, which is reserved for tuning",
        ),
    ],
)
def test_a_study_that_does_not_fit_its_claims_is_refused(old: str, new: str, words: str) -> None:
    message = study_message_of(STUDY.replace(old, new, 1))
    assert message.startswith("sweeps/studies/a_study.yaml: ")
    assert words in message


def test_a_margin_of_a_study_is_refused_where_the_paper_gives_a_figure() -> None:
    message = study_message_of(STUDY, CLAIM)
    assert "claims.a_claim.margin: the margin is half of" in message


def test_a_target_is_an_error_below_1_where_errors_are_timed_and_may_be_any_loss() -> None:
    text = STUDY.replace("target: 0.5", "target: 2.5")
    message = study_message_of(text, PLAIN.replace("of: test_error", "of: epochs_to_error"))
    assert "claims.a_claim.target: target=2.5 must be an error below 1" in message
    write("a_claim.yaml", PLAIN.replace("of: test_error", "of: steps_to_loss"))
    study, [claim] = read_study(write("studies/a_study.yaml", text))
    assert study.target_of(claim) == 2.5


def test_a_broken_claim_of_a_study_is_named_by_its_own_file() -> None:
    write("b_claim.yaml", CLAIM.replace("section", "sectoin"))
    message = study_message_of(STUDY.replace("a_claim:", "b_claim:"))
    assert message.startswith("sweeps/b_claim.yaml:2: there is no field `sectoin`")


def test_every_shipped_study_is_valid() -> None:
    for path in sorted((shipped("sweeps") / "studies").glob("*.yaml")):
        study, claims = read_study(path)
        assert [claim.name for claim in claims] == list(study.claims)


# Claims without a study


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("pretrained=0123456789ab", "claims are about networks that start from random weights"),
        ("seed=3", "the study chooses the seeds"),
        ("fast_dev_run=true", "a verdict needs records"),
        ("print_model=true", r"only for ablations/run\.py"),
        ("plan=true", "next step: use --plan"),
        ("pooling=overlap", "the claim a_claim sets pooling"),
    ],
)
def test_what_no_study_can_have_is_refused_for_claims_without_one(
    override: str, reason: str
) -> None:
    write("a_claim.yaml", CLAIM)
    claims = read_claims(["a_claim"])
    with pytest.raises(ConfigError, match=f"{override}.*{reason}"):
        ad_hoc(claims, claims, ["experiment=smoke", override])


def test_claims_without_a_study_share_its_error_rate_and_tune_around_its_rate() -> None:
    write("a_claim.yaml", CLAIM)
    claims = read_claims(["all"])
    overrides = ["experiment=smoke", "width=0.5", "logger=none"]
    study, free = ad_hoc(read_claims(["a_claim"]), claims, overrides)
    assert (study.changes, free) == (["width=0.5"], ["logger=none"])
    assert list(study.claims) == [claim.name for claim in claims]
    low, rate, high = study.grid_of(claims[0], "with")
    assert (low, high) == (rate / 2, rate * 2)
    other, _ = ad_hoc(claims[:1], claims, ["experiment=smoke", "width=0.25"])
    assert other.name != study.name
