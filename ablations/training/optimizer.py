"""The paper's update rule and learning rate schedules (§5)."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from ablations.config import Recipe, Schedule


class VelocitySGD(torch.optim.SGD):
    """SGD with momentum whose learning rate is inside the velocity.

    Paper: §5, ``v <- 0.9 v - 0.0005 lr w - lr g; w <- w + v``.
    Deviates: in form only. torch keeps ``b = -v / lr``; multiplying ``b`` by the old rate over the
        new one whenever the rate changes gives the paper's rule. Otherwise, dividing the
        rate by ten would shrink the next step tenfold, instead of gradually over about ten steps.
    """

    def step(self, closure: Any = None) -> Any:
        """Take one step; see :meth:`torch.optim.SGD.step`."""
        for group in self.param_groups:
            lr, last = group["lr"], group.get("last_lr", group["lr"])
            if lr != last and lr > 0:
                for parameter in group["params"]:
                    if (buffer := self.state[parameter].get("momentum_buffer")) is not None:
                        buffer.mul_(last / lr)
            group["last_lr"] = lr or last
        return super().step(closure)


def build_optimizer(network: nn.Module, recipe: Recipe, bias_lr_mult: float) -> VelocitySGD:
    """Return the optimizer with the authors' groups: biases have no decay and their own rate.

    Args:
        network: ``decay_scale`` maps the names of layers whose weights are decayed to a factor.
        recipe: Learning rate, momentum and weight decay.
        bias_lr_mult: Factor on the learning rate of biases, unless the recipe has its own.
    """
    if recipe.bias_lr_mult is not None:
        bias_lr_mult = recipe.bias_lr_mult
    decay_scale = cast(dict[str, float], network.decay_scale)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, module in network.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            rate = bias_lr_mult if key == "bias" else 1.0
            # Scales of batch normalization have no entry, and hence no decay.
            scale = decay_scale.get(name, 0.0) if key == "weight" else 0.0
            decay = recipe.weight_decay * scale
            groups.setdefault((rate, decay), []).append(parameter)
    return VelocitySGD(
        [
            {"params": params, "lr": recipe.lr * rate, "weight_decay": decay}
            for (rate, decay), params in groups.items()
            if rate > 0
        ],
        lr=recipe.lr,
        momentum=recipe.momentum,
        fused=True,
    )


class RateSchedule(LRScheduler):
    """Sets the learning rates by step or, for the plateau schedule, by validation error (§5).

    One class implements all schedules, so that a resumed run restores one state. torch's
    ``ReduceLROnPlateau``, whose ``min_lr`` could limit the divisions, has a state of its own and
    multiplies the last rate, which adds a rounding error each time.

    Args:
        optimizer: The optimizer, whose groups have the initial rates.
        recipe: The schedule.
        steps: Steps in an epoch.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> None:
        self.recipe = recipe
        self.steps = max(1, steps)
        self.divisions = 0
        self.best = math.inf
        self.stalled = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each group for the next step; see :class:`LRScheduler`."""
        factor = self.factor(self.last_epoch)  # torch's name for the number of steps
        return [base * factor for base in self.base_lrs]

    def factor(self, step: int) -> float:
        """Return the factor on the initial rates at a step, counted from 0."""
        epoch, batch = divmod(step, self.steps)
        progress = min(1.0, (epoch + batch / self.steps) / self.recipe.epochs)
        match self.recipe.schedule:
            case Schedule.constant:
                return 1.0
            case Schedule.step:
                return 0.1 ** sum(progress >= milestone for milestone in self.recipe.milestones)
            case Schedule.cosine:
                return 0.5 * (1 + math.cos(math.pi * progress))
            case Schedule.plateau:
                return 0.1**self.divisions

    def observe(self, val_error: float) -> None:
        """Divide by ten when the validation error has stopped improving (§5), three times at most.

        Args:
            val_error: Top-1 error on the validation split after an epoch.
        """
        if self.recipe.schedule is not Schedule.plateau:
            return
        if val_error < self.best:
            self.best, self.stalled = val_error, 0
            return
        self.stalled += 1
        if self.stalled >= self.recipe.patience and self.divisions < 3:
            self.divisions += 1
            self.stalled = 0
            for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values, for checkpoints."""
        state = super().state_dict()
        del state["recipe"]
        return state
