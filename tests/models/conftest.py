"""Runs with a model's own crop size, and networks on the meta device."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from ablations.config import DataConfig, Model, Run
from ablations.models import MODELS, construct
from ablations.models.layers import Layer, layers
from ablations.techniques import Techniques

# Crop sizes of the models that support several.
CROPS = {Model.alexnet: 224, Model.alexnet_small: 28, Model.cifar_conv: 32, Model.cifar_local: 24}


def make_run(model: Model, **changes) -> Run:
    """Return a run at width 1; ``changes`` are fields, ``crop``, and techniques."""
    crop = changes.pop("crop", CROPS.get(model, MODELS[model].crops[0]))
    chosen = {name: changes.pop(name) for name in list(changes) if hasattr(Techniques(), name)}
    data = DataConfig(size=crop, crop=crop)
    run = Run(model, data=data, techniques=Techniques(**chosen))
    return replace(run, **changes)


@pytest.fixture
def run_of() -> Callable[..., Run]:
    """See :func:`make_run`."""
    return make_run


@pytest.fixture
def on_meta() -> Callable[..., nn.Sequential]:
    """Makes a network on the meta device."""

    def make(model: Model, classes: int = 10, **changes) -> nn.Sequential:
        with torch.device("meta"):
            return construct(make_run(model, **changes), classes)

    return make


@pytest.fixture
def table() -> Callable[..., dict[str, Layer]]:
    """Makes the table of a network's layers, by name."""

    def make(model: Model, classes: int = 1000, **changes) -> dict[str, Layer]:
        return {row.name: row for row in layers(make_run(model, **changes), classes)}

    return make
