"""Fixtures of the networks that their source fixes."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ablations.config import DataConfig, Init, Model, Recipe, Run
from ablations.networks.initialization import construct
from ablations.networks.layers import Layer, layers
from ablations.techniques import Techniques


@pytest.fixture
def full_size() -> Callable[..., Run]:
    """A run of a network at its full width, with images of ``crop`` pixels."""

    def make(network: Model, crop: int) -> Run:
        dataset = DataConfig(size=crop, crop=crop)
        return Run(Techniques(), network, 1.0, Init.paper, dataset, Recipe(), seed=0, replicate=0)

    return make


@pytest.fixture
def table(full_size) -> Callable[..., list[Layer]]:
    """The layers of a network at its full width."""
    return lambda network, crop, classes: layers(full_size(network, crop), classes)


@pytest.fixture
def on_meta(full_size) -> Callable[..., nn.Sequential]:
    """A network at its full width, without memory for its weights."""

    def make(network: Model, crop: int) -> nn.Sequential:
        with torch.device("meta"):
            return construct(full_size(network, crop), 10)

    return make


@pytest.fixture
def outline() -> Callable[[list[Layer]], tuple[str, str]]:
    """Names of all layers, and the shapes of their outputs wherever they change."""

    def draw(rows: list[Layer]) -> tuple[str, str]:
        shapes = ["x".join(str(n) for n in row.shape) for row in rows]
        changes = [new for old, new in zip(["", *shapes], shapes, strict=False) if new != old]
        return " ".join(row.name for row in rows), " ".join(changes)

    return draw
