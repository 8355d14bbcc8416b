"""Every claim of this version: its figures, and its arms at every experiment."""

import io
from statistics import median

import pytest
from rich.console import Console

from ablations import models
from ablations.claims.files import read_claims
from ablations.claims.runs import Runs, arms_of
from ablations.claims.schema import ERRORS, Claim, Study
from ablations.composition import experiment_names
from ablations.config import ConfigError

CLAIMS = {claim.name: claim for claim in read_claims(["all"])}
# Named after the network of a tutorial, which fixes most techniques.
TUTORIALS = sorted(model.value for model, spec in models.MODELS.items() if spec.fixed)

# What the paper prints, and the errors of the authors' logs behind it (42.03 to 40.66 % and so on):
# effect, error with the technique, and both of the top-5 error.
FIGURES: dict[str, tuple[float, float | None, tuple[float, float] | None]] = {
    "relu_trains_faster_than_tanh": (6, None, None),
    "two_towers_beat_half_the_kernels": (0.017, 0.3747, (0.012, 0.17)),
    "lrn_lowers_error": (0.014, 0.4066, (0.012, 0.1821)),
    "lrn_lowers_cifar10_error": (0.02, 0.11, None),
    "overlap_pooling_lowers_error": (0.004, 0.4066, (0.003, 0.1821)),
    "color_augmentation_lowers_error": (0.01, 0.375, None),
    "dropout_doubles_iterations": (2, None, None),
    "each_middle_convolution_matters": (0.02, 0.375, None),
    "ten_views_lower_error": (0.015, 0.3747, (0.013, 0.17)),
    "ensembles_lower_error": (0.026, 0.381, (0.018, 0.164)),
    # Of the authors' configurations.
    "norm_within_maps_lowers_error": (0.01, 0.18, None),
}

each = pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))


# What the files say


def test_figures_are_those_of_the_paper_and_of_the_authors_logs() -> None:
    papers = [claim.name for claim in CLAIMS.values() if claim.family == "paper"]
    with_figure = {name for name in papers if CLAIMS[name].paper.effect is not None}
    assert with_figure == set(FIGURES) - {"norm_within_maps_lowers_error"}
    for name, figures in FIGURES.items():
        paper = CLAIMS[name].paper
        assert (paper.effect, paper.error, paper.top5) == figures


@pytest.mark.parametrize(
    ("name", "without", "with_", "top5"),
    [
        ("two_towers_beat_half_the_kernels", 39.17, 37.47, (18.23, 17.00)),
        ("lrn_lowers_error", 42.03, 40.66, (19.36, 18.21)),
        ("overlap_pooling_lowers_error", 41.06, 40.66, (18.51, 18.21)),
        ("ten_views_lower_error", 39.02, 37.47, (18.30, 17.00)),
        ("ensembles_lower_error", 40.7, 38.1, (18.2, 16.4)),
    ],
)
def test_printed_effects_are_the_rounded_differences_of_the_logs(
    name: str, without: float, with_: float, top5: tuple[float, float]
) -> None:
    effect, error, both5 = FIGURES[name]
    assert both5
    for printed, higher, lower in ((effect, without, with_), (both5[0], *top5)):
        # To the last printed digit: 18.23 - 17.00 is printed as 1.2.
        assert 100 * printed == pytest.approx(higher - lower, abs=0.051)
    assert (100 * (error or 0), 100 * both5[1]) == pytest.approx((with_, top5[1]))
    # Logs are quoted beside the rounded figures.
    words = CLAIMS[name].paper.data + CLAIMS[name].paper.says
    for figure in (without, with_, *top5):
        assert f"{figure:.2f}" in words or f"{figure:.1f}" in words


def test_margins_on_errors_are_the_ratios_that_their_reasons_name() -> None:
    ratios = [
        effect / error
        for name, (effect, error, _) in FIGURES.items()
        if error and "CIFAR-10" not in CLAIMS[name].paper.data
    ]
    assert (min(ratios), max(ratios)) == pytest.approx((0.01, 0.07), abs=5e-3)  # "1 to 7 %"
    assert len(ratios) == 7
    for claim in CLAIMS.values():
        if "half of the median of its seven effects" in str(claim.why):
            assert claim.margin == pytest.approx(1 + median(ratios) / 2, abs=5e-4)
        elif claim.family == "control" and claim.measure.of in ERRORS:
            assert claim.margin == pytest.approx(1 + min(ratios), abs=5e-4)


@each
def test_a_claim_has_a_margin_or_a_figure_and_says_what_goes_beyond_the_paper(claim: Claim) -> None:
    assert (claim.margin is None) is (claim.paper.effect is not None)
    assert (claim.section == claim.family) is (claim.family != "paper")
    # The paper's own experiments are those of figures on its images of 2012.
    own = claim.paper.effect is not None and claim.paper.data.startswith("ILSVRC-2012")
    assert claim.paper.experiments == (["imagenet", "imagenet_released"] if own else [])


# What their arms are


def runs_at(experiment: str, *changes: str) -> Runs:
    """The runs of a study of all claims at an experiment, without its data."""
    values = {"name": "a", "title": "a", "experiment": experiment, "changes": changes}
    claims = {name: {"target": 0.5} for name in CLAIMS}
    study = Study.model_validate(values | {"claims": claims})
    return Runs(study, [], Console(file=io.StringIO()), plan_only=True)


@pytest.mark.parametrize("experiment", experiment_names())
def test_arms_differ_in_the_technique_alone_at_every_experiment(experiment: str) -> None:
    runs, refused = runs_at(experiment), []
    for claim in CLAIMS.values():
        assert runs.exclusion(claim) == claim.excluded.get(experiment, "")
        if experiment in claim.excluded:
            continue
        try:
            runs.admit([claim])  # refuses other differences, and none
        except ConfigError as error:
            refused.append(str(error))
    assert experiment in TUTORIALS or not refused
    for message in refused:
        assert f"has no effect on model={experiment}, because its layers are fixed" in message


@pytest.mark.parametrize(
    ("name", "model"),
    [("lrn_lowers_error", "cifar_conv"), ("weight_decay_lowers_training_error", "cifar_conv")],
)
def test_claims_exclude_networks_where_they_would_test_something_else(name, model) -> None:
    assert runs_at("cifar10", f"model={model}").exclusion(CLAIMS[name])
    assert not runs_at("cifar10").exclusion(CLAIMS[name])


def test_a_claim_with_another_value_than_the_study_is_excluded() -> None:
    claim = CLAIMS["relu_trains_faster_than_tanh"]
    reason = runs_at("cifar10", "width=0.5").exclusion(claim)
    assert reason == "it sets width=1, and the study width=0.5"
    assert not runs_at("cifar10", "width=1", "recipe.epochs=4").exclusion(claim)


def test_parts_change_the_networks_size_and_the_length_of_training() -> None:
    runs, claim = runs_at("cifar10_small"), CLAIMS["larger_and_longer_is_better"]
    larger, longer = (arms_of(claim, part) for part in claim.comparisons)
    assert [runs.config(arm).width for arm in larger] == [0.25, 0.125]
    assert [runs.config(arm).recipe.epochs for arm in longer] == [20, 5]
