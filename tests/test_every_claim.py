from dataclasses import replace
from math import sqrt
from typing import Any

import pytest

from ablations import networks
from ablations.claim_file import find
from ablations.composition import compose, shipped
from ablations.config import ConfigError, Model
from ablations.study.design import draft

EXPERIMENTS = sorted(path.stem for path in (shipped("conf") / "experiment").glob("*.yaml"))
CLAIMS = find(["all"], shipped("sweeps"), EXPERIMENTS)
# Named like the network of a tutorial, which fixes the techniques.
TUTORIALS = sorted({network.value for network in Model} & set(EXPERIMENTS))


@pytest.mark.parametrize("experiment", TUTORIALS)
def test_a_network_that_fixes_a_technique_refuses_its_claim(experiment):
    [claim] = [claim for claim in CLAIMS if claim.name == "batchnorm_beats_lrn"]
    with pytest.raises(ConfigError, match=rf"norm=\w+ .*network={experiment}"):
        draft(claim, "", compose([f"experiment={experiment}"]))


@pytest.mark.parametrize("experiment", sorted(set(EXPERIMENTS) - set(TUTORIALS)))
def test_arms_differ_in_one_factor_at_every_experiment(experiment):
    given = compose([f"experiment={experiment}"])
    for claim in CLAIMS:
        if experiment in claim.excluded:
            continue
        for part in claim.comparisons:
            assert draft(claim, part, given)


def test_the_claims_of_the_paper_are_all_there():
    names = {claim.name for claim in CLAIMS if claim.family == "confirmatory"}
    assert names == {
        "relu_trains_faster_than_tanh",
        "lrn_lowers_error",
        "lrn_lowers_cifar10_error",
        "overlap_pooling_lowers_error",
        "overlap_pooling_curbs_overfitting",
        "two_towers_beat_half_the_kernels",
        "towers_specialise",
        "crops_and_flips_curb_overfitting",
        "color_augmentation_lowers_error",
        "dropout_curbs_overfitting",
        "dropout_doubles_iterations",
        "weight_decay_lowers_training_error",
        "bias_one_speeds_early_learning",
        "each_middle_convolution_matters",
        "ten_views_lower_error",
        "ensembles_lower_error",
    }


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_what_goes_beyond_the_paper_says_so(claim):
    words = {"confirmatory": claim.section, "exploratory": "extension", "control": "control"}
    assert claim.section == words[claim.family]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_margin_is_half_of_what_the_paper_gives(claim):
    if claim.paper.effect is not None:
        factor = claim.kind in ("ratio", "time_to_target")
        half = sqrt(claim.paper.effect) if factor else claim.paper.effect / 2
        assert claim.decision.margin == pytest.approx(half, rel=0.005)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_excluded_from_experiments_by_exception(claim):
    assert set(EXPERIMENTS) - set(claim.excluded)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_weight_decay_is_asked_of_networks_that_decay(experiment):
    (claim,) = (claim for claim in CLAIMS if claim.name == "weight_decay_lowers_training_error")
    run = compose([f"experiment={experiment}"]).run
    width = 1.0 if run.model is Model.lenet5 else 0.25
    scales: Any = networks.build(replace(run, width=width), 10).decay_scale
    decays = any(scales.values())
    assert decays != (experiment in claim.excluded)
