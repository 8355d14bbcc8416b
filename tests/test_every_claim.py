"""Every claim of this version: its figures, and its arms at every experiment."""

import io
from dataclasses import replace
from math import log
from statistics import median
from typing import Any

import pytest
from rich.console import Console

from ablations import models
from ablations.claims.files import read_claims
from ablations.claims.runs import Runs, arms_of
from ablations.claims.schema import ERRORS, Claim, Study
from ablations.composition import compose, experiment_names
from ablations.config import ConfigError, Model

EXPERIMENTS = experiment_names()
IMAGENET = [name for name in EXPERIMENTS if name.startswith("imagenet")]
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
NO_FIGURES = {
    "overlap_pooling_curbs_overfitting",
    "towers_specialize",
    "crops_and_flips_curb_overfitting",
    "dropout_curbs_overfitting",
    "weight_decay_lowers_training_error",
    "bias_one_speeds_early_learning",
    "larger_and_longer_is_better",
    "neighbors_in_features_share_classes",
}
EXTENSIONS = {
    "norm_within_maps_lowers_error",
    "batchnorm_beats_lrn",
    "released_code_differs_from_the_text",
}
CONTROLS = {"placebo_changes_nothing", "bf16_changes_nothing"}
LISTED = {*FIGURES, *NO_FIGURES, *EXTENSIONS, *CONTROLS}

listed = pytest.mark.parametrize("claim", [CLAIMS[name] for name in sorted(LISTED & set(CLAIMS))])
each = pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))


# What the files say


def test_no_claim_is_lost() -> None:
    families = {"paper": {*FIGURES, *NO_FIGURES} - EXTENSIONS}
    families |= {"extension": EXTENSIONS, "control": CONTROLS}
    for family, names in families.items():
        assert names <= {claim.name for claim in CLAIMS.values() if claim.family == family}


@listed
def test_figures_are_those_of_the_paper_and_of_the_authors_logs(claim: Claim) -> None:
    paper = claim.paper
    assert (paper.effect, paper.error, paper.top5) == FIGURES.get(claim.name, (None, None, None))


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


@each
def test_a_claim_with_a_figure_has_no_margin_of_its_own(claim: Claim) -> None:
    assert (claim.margin is None) is (claim.paper.effect is not None)


def test_margins_on_errors_are_the_ratios_that_their_reasons_name() -> None:
    ratios = {
        name: effect / error
        for name, (effect, error, _) in FIGURES.items()
        if error and "CIFAR-10" not in CLAIMS[name].paper.data
    }
    assert len(ratios) == 7
    assert min(ratios.values()) == pytest.approx(0.01, abs=5e-4)  # "1 to 7 % of the error"
    assert max(ratios.values()) == pytest.approx(0.07, abs=5e-3)
    for name in sorted(NO_FIGURES | EXTENSIONS | CONTROLS):
        claim = CLAIMS[name]
        if claim.margin is None or claim.measure.of not in ERRORS:
            continue
        typical = claim.family != "control"
        assert claim.margin == pytest.approx(
            1 + (median(ratios.values()) / 2 if typical else min(ratios.values())), abs=5e-4
        )
        assert ("half of the median of its seven effects" in str(claim.why)) is typical


@listed
def test_the_papers_own_experiments_are_those_of_figures_on_its_images_of_2012(
    claim: Claim,
) -> None:
    own = claim.paper.effect is not None and claim.paper.data.startswith("ILSVRC-2012")
    assert claim.paper.experiments == (["imagenet", "imagenet_released"] if own else [])


@each
def test_what_goes_beyond_the_paper_says_so(claim: Claim) -> None:
    assert (claim.section == claim.family) is (claim.family != "paper")


def test_gates_are_those_of_the_claims_words() -> None:
    overfit = {name for name in LISTED if CLAIMS[name].overfits_without}
    assert overfit == {
        *("overlap_pooling_lowers_error", "overlap_pooling_curbs_overfitting"),
        *("crops_and_flips_curb_overfitting", "color_augmentation_lowers_error"),
        "dropout_curbs_overfitting",
    }
    trained = {name for name in LISTED if not CLAIMS[name].trained_out}
    assert trained == {
        *("relu_trains_faster_than_tanh", "dropout_doubles_iterations"),
        *("bias_one_speeds_early_learning", "larger_and_longer_is_better"),
    }


@each
def test_a_claim_is_excluded_by_exception_and_from_all_releases_of_imagenet_alike(
    claim: Claim,
) -> None:
    assert set(EXPERIMENTS) - set(claim.excluded)
    excluded = set(claim.excluded) & set(IMAGENET) - {"imagenet_pretrained"}
    assert excluded in (set(), set(IMAGENET) - {"imagenet_pretrained"})


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_weight_decay_is_asked_of_networks_that_decay(experiment: str) -> None:
    run = compose([f"experiment={experiment}"]).run
    width = 1.0 if run.model is Model.lenet5 else 0.25
    scales: Any = models.build(replace(run, width=width), 10).decay_scale
    excluded = CLAIMS["weight_decay_lowers_training_error"].excluded
    assert any(scales.values()) != (experiment in excluded)


def test_the_rate_within_maps_falls_after_120_and_130_of_140_epochs() -> None:
    common = CLAIMS["norm_within_maps_lowers_error"].common
    [milestones] = [item for item in common if item.startswith("recipe.milestones=")]
    fractions = [float(word) for word in milestones.partition("=")[2].strip("[]").split(",")]
    step = 1 / 390  # epochs of a step, at batches of 128
    for fraction, epoch in zip(fractions, (120, 130), strict=True):
        assert (epoch - step) / 140 < fraction <= epoch / 140


# What their arms are


def runs_at(experiment: str, *changes: str) -> Runs:
    """The runs of a study of all claims at an experiment, without its data."""
    values = {"name": "a", "title": "a", "experiment": experiment, "changes": changes}
    claims = {name: {"target": 0.5} for name in CLAIMS}
    study = Study.model_validate(values | {"claims": claims})
    return Runs(study, [], Console(file=io.StringIO()), plan_only=True)


@pytest.mark.parametrize("experiment", sorted(set(EXPERIMENTS) - set(TUTORIALS)))
def test_arms_differ_in_the_technique_alone_at_every_experiment(experiment: str) -> None:
    runs = runs_at(experiment)
    for claim in CLAIMS.values():
        assert runs.exclusion(claim) == claim.excluded.get(experiment, "")
        if experiment not in claim.excluded:
            runs.admit([claim])  # refuses other differences, and none


@pytest.mark.parametrize("experiment", TUTORIALS)
def test_a_network_of_a_tutorial_refuses_claims_on_what_it_fixes(experiment: str) -> None:
    runs, refused = runs_at(experiment), {}
    for claim in CLAIMS.values():
        if experiment in claim.excluded:
            continue
        try:
            runs.admit([claim])
        except ConfigError as error:
            refused[claim.name] = str(error)
    for message in refused.values():
        assert f"has no effect on model={experiment}, because its layers are fixed" in message
    assert LISTED & set(refused) == {
        *("lrn_lowers_error", "batchnorm_beats_lrn"),
        *("overlap_pooling_lowers_error", "overlap_pooling_curbs_overfitting"),
        *("two_towers_beat_half_the_kernels", "towers_specialize"),
        *("dropout_curbs_overfitting", "dropout_doubles_iterations"),
        *("each_middle_convolution_matters", "bias_one_speeds_early_learning"),
    }


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("lrn_lowers_error", "cifar_conv"),
        ("lrn_lowers_error", "cifar_local"),
        ("weight_decay_lowers_training_error", "cifar_conv"),
        ("batchnorm_beats_lrn", "cifar_conv"),
    ],
)
def test_claims_exclude_networks_where_they_would_test_something_else(
    name: str, model: str
) -> None:
    assert runs_at("cifar10", f"model={model}").exclusion(CLAIMS[name])
    assert not runs_at("cifar10").exclusion(CLAIMS[name])


def test_parts_change_the_networks_size_and_the_length_of_training() -> None:
    runs, claim = runs_at("cifar10_small"), CLAIMS["larger_and_longer_is_better"]
    larger, longer = (arms_of(claim, part) for part in claim.comparisons)
    assert [runs.config(arm).width for arm in larger] == [0.25, 0.125]
    assert [runs.config(arm).recipe.epochs for arm in longer] == [20, 5]


def test_each_margin_is_below_its_effect_on_the_scale_of_a_small_study() -> None:
    study = Study.model_validate(
        {"name": "a", "title": "a", "experiment": "cifar10_small", "claims": list(CLAIMS)}
    )
    for claim in CLAIMS.values():
        margin, reason = study.margin_of(claim)
        effect = study.effect_of(claim)
        assert 0 < margin < log(2.5)
        assert reason
        assert effect is None or margin == pytest.approx(effect / 2)
