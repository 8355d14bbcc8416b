"""Claim and study files: which are found, and how a mistake in them is answered."""

from pathlib import Path

import pytest

from ablations.claims.files import ad_hoc, claim_files, read_claims, read_study, study_files
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
paper:
  says: 0.4 points
  data: ImageNet
  effect: 0.004
  error: 0.4
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
    margin: {margin: 1.02, why: a pilot}
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


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("statement: O", "statment: O", 1, "no field `statment`; did you mean statement?"),
        ("  data: ImageNet\n", "", 10, "paper.data: Field required"),
        ("[recipe.lr=0.02]", "[recipe.lr]", 5, "common.0: must be KEY=VALUE"),
        ("[recipe.lr=0.02]", "[trainer.devices=2]", 5, "`trainer.devices` cannot be set in a cl"),
        ("smoke: too", "smok: too", 19, "there is no experiment or model `smok`; it takes"),
        # Fields that contradict each other.
        ("without: [", "parts: {a: {without: [x=1]}}\nwithout: [", 1, "parts: cannot be combined"),
        ("excluded:", "margin: 1.02\nexcluded:", 1, "why: missing; next step: give the reason"),
        ("excluded:", "margin: 1.0\nexcluded:", 1, "margin: must be above 1 for this measure"),
        ("  effect: 0.004\n", "", 1, "margin: missing; required if the paper gives no"),
        ("of: test_error", "of: neighbors", 1, "measure.of: must be neighbors for technique"),
        ("of: test_error", "of: epochs_to_error", 1, "for times a ratio above 1"),
        # Not YAML, or not a mapping.
        ("effect: 0.004", "says: twice", 13, "not YAML: `says` is given twice"),
        ("excluded:", "excluded: [", 20, "not YAML: "),
        (CLAIM, "- a\n- b", 1, "must be a mapping of fields"),
    ],
)
def test_a_mistake_in_a_claim_is_named_with_its_line(old, new, line, words) -> None:
    assert old in CLAIM
    message = message_of(CLAIM.replace(old, new, 1))
    assert message.startswith(f"sweeps/a_claim.yaml:{line}: "), message
    assert words in message


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("experiment: smoke", "experiment: smok", 2, "experiment: there is no experiment or mod"),
        ("[recipe.epochs=3]", "[seed=3]", 3, "changes.0: `seed` cannot be set in"),
        ("  a_claim:", "  a_claim: 5\n  b_claim:", 5, "claims.a_claim"),
        ("[3, 5, 8]", "[1, 5]", 10, "looks.0: Input should be greater than or equal to 2"),
        ("with: [0.01, 0.02], ", "", 7, "claims.a_claim.grid.with: Field required"),
        ("  key: recipe.lr", "  key: init", 12, "tuning.key: String should match pattern"),
    ],
)
def test_a_mistake_in_a_study_is_named_with_its_line(old, new, line, words) -> None:
    assert old in STUDY
    message = study_message_of(STUDY.replace(old, new, 1))
    assert message.startswith(f"sweeps/studies/a_study.yaml:{line}: "), message
    assert words in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a_claim:", "a_clame:", "there is no claim `a_clame`; did you mean a_claim?"),
        ("looks: [3, 5, 8]", "first_seed: 996", "would use seed 1000, which is reserved for tun"),
        ("margin: 1.02", "margin: 1", "claims.a_claim.margin: must be above 1"),
    ],
)
def test_a_study_that_does_not_fit_its_claims_is_refused(old, new, words) -> None:
    message = study_message_of(STUDY.replace(old, new, 1))
    assert message.startswith("sweeps/studies/a_study.yaml: ")
    assert words in message


def test_a_study_gives_no_margin_where_the_paper_gives_a_figure_and_no_error_of_1_or_more() -> None:
    assert "claims.a_claim.margin: must be removed" in study_message_of(STUDY, CLAIM)
    timed = PLAIN.replace("of: test_error", "of: epochs_to_error")
    message = study_message_of(STUDY.replace("target: 0.5", "target: 2.5"), timed)
    assert "claims.a_claim.target: must be an error below 1" in message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CLAIM.encode("utf-16"), id="utf-16"),
        pytest.param(CLAIM + "? [a, b]\n: c\n", id="a list as a key"),
        pytest.param("a: " + "[" * 5000, id="deeply nested"),
        pytest.param("a: 2012-99-99", id="a date that does not exist"),
    ],
)
def test_what_is_not_yaml_or_not_plain_values_is_refused_in_one_line(content: str | bytes) -> None:
    assert message_of(content).startswith("sweeps/a_claim.yaml:")


# Names and folders


def test_claims_are_found_by_name_and_by_glob() -> None:
    of_dropout = ["dropout_curbs_overfitting", "dropout_doubles_iterations"]
    for patterns in (["dropout_*"], [*reversed(of_dropout), "dropout_c*"]):
        assert [claim.name for claim in read_claims(patterns)] == of_dropout


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
    grids = [study.grid_of(claim, side) for side in ("with", "without")]
    assert grids == [[0.01, 0.02], [0.02, 0.04]]
    assert (study.looks_of(claim), study.margin_of(claim)[1]) == ((3, 5), "a pilot")


# Claims without a study


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
