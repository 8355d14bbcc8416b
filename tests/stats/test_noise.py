import numpy as np
import pytest
from scipy import stats

from ablations.stats.interval import Effect
from ablations.stats.noise import image_variance, on_new_images


def test_one_pair_of_seeds_gives_mcnemars_variance():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1, 1000)) < 0.3
    p01, p10 = (~a & b).mean(), (a & ~b).mean()
    assert image_variance(a, b) == pytest.approx((p01 + p10 - (p01 - p10) ** 2) / 1000)


@pytest.mark.parametrize(
    ("images", "disagreement", "points"), [(10_000, 0.12, 0.35), (50_000, 0.25, 0.22)]
)
def test_planning_figures(images, disagreement, points):
    half = int(images * disagreement / 2)
    a, b = np.zeros((2, 1, images), dtype=bool)
    a[0, :half] = b[0, half : 2 * half] = True
    assert 100 * image_variance(a, b) ** 0.5 == pytest.approx(points, abs=0.005)


def test_arms_must_share_seeds_and_images():
    with pytest.raises(ValueError, match="one shape"):
        image_variance(np.zeros((2, 5), dtype=bool), np.zeros((3, 5), dtype=bool))


def test_more_seeds_do_not_remove_the_images():
    few, many = Effect(0.01, 0.001, 4.0), Effect(0.01, 1e-6, 400.0)
    assert on_new_images(few, 4e-6).se == pytest.approx(5e-6**0.5)
    assert on_new_images(many, 4e-6).se == pytest.approx(0.002, rel=1e-3)


def test_without_image_noise_nothing_changes():
    effect = Effect(0.01, 0.001, 4.0)
    assert on_new_images(effect, 0.0) == effect


def _images(rng, count):
    # Each image has its own probability of being wrong in each arm.
    hard = rng.beta(0.3, 0.7, count)
    return hard, np.clip(hard - rng.normal(0.03, 0.25, count), 0, 1)


@pytest.mark.slow
def test_interval_covers_the_effect_on_all_images():
    rng = np.random.default_rng(1)
    without, having = _images(rng, 2_000_000)
    truth = (without - having).mean()
    repeats, seeds, images = 1500, 5, 400
    here = wider = 0
    for _ in range(repeats):
        without, having = _images(rng, images)
        a, b = (rng.random((seeds, images)) < wrong for wrong in (without, having))
        differences = a.mean(1) - b.mean(1)
        effect = Effect(differences.mean(), stats.sem(differences), seeds - 1)
        new = on_new_images(effect, image_variance(a, b))
        here += abs(effect.mean - truth) <= effect.critical(0.05) * effect.se
        wider += abs(new.mean - truth) <= new.critical(0.05) * new.se
    assert here / repeats < 0.93
    assert 0.94 <= wider / repeats <= 0.995
