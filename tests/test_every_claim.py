"""Every claim of this version: its figures, and its arms at every experiment."""

import io
from dataclasses import replace
from math import log
from typing import Any

import pytest
from rich.console import Console

from ablations import models
from ablations.claims.files import read_claims
from ablations.claims.runs import Runs
from ablations.claims.schema import Claim, Study
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
def test_what_goes_beyond_the_paper_says_so(claim: Claim) -> None:
    assert (claim.section == claim.family) is (claim.family != "paper")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_weight_decay_is_asked_of_networks_that_decay(experiment: str) -> None:
    run = compose([f"experiment={experiment}"]).run
    width = 1.0 if run.model is Model.lenet5 else 0.25
    scales: Any = models.build(replace(run, width=width), 10).decay_scale
    excluded = CLAIMS["weight_decay_lowers_training_error"].excluded
    assert any(scales.values()) != (experiment in excluded)


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
