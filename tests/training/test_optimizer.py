import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from ablations import models
from ablations.config import Model, Recipe, Run, Schedule
from ablations.techniques import Norm, Techniques
from ablations.training.optimizer import RateSchedule, VelocitySGD, build_optimizer


def paper_rule(
    weights: list[float], gradient: Callable[[float], float], rates: list[float], decay: float
) -> list[float]:
    """§5 in plain floats: v <- 0.9 v - decay lr w - lr g; w <- w + v."""
    velocities = [0.0] * len(weights)
    for lr in rates:
        for i, w in enumerate(weights):
            velocities[i] = 0.9 * velocities[i] - decay * lr * w - lr * gradient(w)
            weights[i] = w + velocities[i]
    return weights


@pytest.mark.parametrize(
    "rates",
    [[0.1] * 4 + [0.01] * 4, [0.1, 0.05, 0.2, 0.02, 0.02, 0.002]],
    ids=["divided by ten", "changing"],
)
def test_the_update_is_the_papers_over_a_change_of_the_rate(rates: list[float]):
    start = [1.0, -2.0, 0.3]
    parameter = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = VelocitySGD([parameter], lr=rates[0], momentum=0.9, weight_decay=0.01)
    for lr in rates:
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        (parameter**3 - parameter).sum().backward()
        optimizer.step()
    expected = paper_rule(start, lambda w: 3 * w**2 - 1, rates, 0.01)
    assert parameter.tolist() == pytest.approx(expected, rel=1e-13)


# Groups


def groups(run: Run, recipe: Recipe, bias_lr_mult: float) -> dict[str, dict]:
    network = models.build(run, 10)
    names = {parameter: name for name, parameter in network.named_parameters()}
    optimizer = build_optimizer(network, recipe, bias_lr_mult)
    return {names[p]: group for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize(
    ("mult", "rate"), [(None, 0.2), (3.0, 0.1 * 3)], ids=["the edition's", "the recipe's"]
)
def test_biases_learn_at_their_rate(tiny_run: Run, mult: float | None, rate: float):
    for name, group in groups(tiny_run, Recipe(lr=0.1, bias_lr_mult=mult), 2.0).items():
        assert group["lr"] == (rate if name.endswith("bias") else 0.1), name


def test_a_bias_rate_of_0_leaves_the_biases_alone(tiny_run: Run):
    found = groups(tiny_run, Recipe(bias_lr_mult=0.0), 2.0)
    assert not any(name.endswith("bias") for name in found)


def test_the_network_scales_the_decay_of_its_layers_and_other_weights_have_none(tiny_run: Run):
    chosen = Techniques(norm=Norm.batchnorm)
    run = replace(tiny_run, model=Model.cifar_conv, width=0.25, techniques=chosen)
    found = groups(run, Recipe(weight_decay=0.004), 1.0)
    decays = {name: group["weight_decay"] for name, group in found.items()}
    convolutions = {f"conv{number}.weight": 0.004 for number in (1, 2, 3)}
    assert {n: decay for n, decay in decays.items() if decay} == {**convolutions, "fc10.weight": 1}
    assert decays.keys() >= {"norm1.weight", "fc10.bias"}


# Schedules


STEPS = 100  # in an epoch
HALF = math.sqrt(0.5)


def make_schedule(recipe: Recipe) -> RateSchedule:
    parameter = torch.nn.Parameter(torch.zeros(1))
    return RateSchedule(torch.optim.SGD([parameter], lr=recipe.lr), recipe, STEPS)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe(), {0: 1, 3.5: 1, 8: 1}),
        (
            Recipe(epochs=8, schedule=Schedule.step, milestones=(0.5, 0.75)),
            {0: 1, 3.99: 1, 4: 0.1, 5.99: 0.1, 6: 0.01, 7.99: 0.01},
        ),
        (
            Recipe(epochs=8, schedule=Schedule.cosine),
            {0: 1, 2: (1 + HALF) / 2, 4: 0.5, 6: (1 - HALF) / 2, 8: 0},
        ),
    ],
    ids=["constant", "step", "cosine"],
)
def test_the_factor_after_so_many_epochs(recipe: Recipe, expected: dict[float, float]):
    schedule = make_schedule(recipe)
    found = {epoch: schedule.factor(round(epoch * STEPS)) for epoch in expected}
    assert found == pytest.approx(expected, abs=1e-12)


def test_every_group_follows_the_schedule_step_by_step():
    recipe = Recipe(epochs=2, schedule=Schedule.cosine)
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 2.0)]
    optimizer = torch.optim.SGD(groups, lr=recipe.lr)
    schedule = RateSchedule(optimizer, recipe, 2)
    for step in range(4):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == [schedule.factor(step), 2 * schedule.factor(step)]
        optimizer.step()
        schedule.step()


def test_plateau_divides_three_times_at_most():
    recipe = Recipe(schedule=Schedule.plateau, patience=2)
    schedule = make_schedule(recipe)
    rates = []
    for _ in range(10):
        schedule.observe(0.5)
        rates.append(schedule.optimizer.param_groups[0]["lr"] / recipe.lr)  # takes effect at once
    expected = [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001]
    assert rates == pytest.approx(expected)


def test_plateau_waits_anew_after_an_improvement():
    schedule = make_schedule(Recipe(schedule=Schedule.plateau, patience=2))
    for error in (0.5, 0.5, 0.4, 0.4, 0.39, 0.39):
        schedule.observe(error)
    assert schedule.factor(0) == 1
    schedule.observe(0.39)
    assert schedule.factor(0) == pytest.approx(0.1)
