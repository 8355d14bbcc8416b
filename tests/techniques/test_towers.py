import numpy as np
import pytest

from ablations.techniques.towers import colorfulness, tower_colors


def test_noise_has_two_thirds_of_its_energy_in_color() -> None:
    kernels = np.random.default_rng(0).normal(size=(500, 3, 5, 5))
    assert colorfulness(kernels).mean() == pytest.approx(2 / 3, abs=0.01)


def test_the_first_half_of_the_kernels_is_the_first_tower() -> None:
    kernels = np.random.default_rng(0).normal(size=(6, 3, 5, 5))
    kernels[:3] = kernels[:3, :1]
    first, second = tower_colors(kernels)
    assert first == pytest.approx(0, abs=1e-12)
    assert second == pytest.approx(colorfulness(kernels[3:]).mean())
