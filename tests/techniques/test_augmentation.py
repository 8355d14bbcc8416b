import pytest
import torch

from ablations.techniques import Augmentation, Edition
from ablations.techniques.augmentation import (
    Draws,
    color_axes,
    color_noise,
    crop_and_flip,
    draw,
)
from ablations.techniques.edition import details


def draws(augmentation: Augmentation, n: int = 500) -> Draws:
    generator = torch.Generator().manual_seed(7)
    return draw(n, generator, size=32, crop=24, augmentation=augmentation)


def test_arms_share_the_draws_that_both_use() -> None:
    full, crop_flip, color = (
        draws(kind) for kind in (Augmentation.full, Augmentation.crop_flip, Augmentation.color)
    )
    assert torch.equal(full.top, crop_flip.top)
    assert torch.equal(full.left, crop_flip.left)
    assert torch.equal(full.flip, crop_flip.flip)
    assert torch.equal(full.color, color.color)


def test_crops_take_every_offset_and_half_are_mirrored() -> None:
    full = draws(Augmentation.full)
    assert sorted(full.top.unique().tolist()) == list(range(9))
    assert sorted(full.left.unique().tolist()) == list(range(9))
    assert abs(full.flip.float().mean() - 0.5) < 6 * 0.5 / 500**0.5


def test_crops_and_reflections_are_slices_of_the_image() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 9, 9, 3), dtype=torch.uint8, generator=generator)
    chosen = draw(20, generator, size=9, crop=6, augmentation=Augmentation.full)
    result = crop_and_flip(images, chosen.top, chosen.left, chosen.flip, 6)
    for i, image in enumerate(images):
        expected = image[chosen.top[i] : chosen.top[i] + 6, chosen.left[i] : chosen.left[i] + 6]
        assert torch.equal(result[i], expected.flip(1) if chosen.flip[i] else expected)


# Two pixels, black and red: the variance of red is (255 / 2)**2, 0.25 on the scale of 0 to 1.
BLACK_AND_RED = torch.diag(torch.tensor([127.5**2, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("edition", "shift"),
    [
        (Edition.printed, 255 * 0.1 * 0.25),  # 0.1 times the eigenvalue, on the scale of 0 to 1
        (Edition.released, 0.1 * 127.5 / 1.1),  # 0.1 times the standard deviation, then / 1.1
    ],
)
def test_color_noise_of_two_pixels_by_hand(edition: Edition, shift: float) -> None:
    spec = details(edition)
    axes = color_axes(BLACK_AND_RED, power=spec.color_power)
    noise = color_noise(
        torch.zeros(1, 3, 2, 2), torch.tensor([[0.0, 0.0, 1.0]]), axes, divisor=spec.color_divisor
    )
    torch.testing.assert_close(noise[0, 0], torch.full((2, 2), shift))
    assert not noise[0, 1:].any()


def test_the_released_noise_has_the_authors_strength() -> None:
    # Standard deviations and components of the authors' ILSVRC-2012 pixels.
    deviations = torch.tensor([121.780, 37.094, 19.721])
    components = torch.tensor(
        [[-0.5635, -0.5762, -0.5920], [-0.7126, -0.0235, 0.7012], [0.4180, -0.8170, 0.3973]]
    )
    covariance = components.T @ torch.diag(deviations**2) @ components
    released = color_axes(covariance, power=0.5).square().sum(0).sqrt()
    printed = color_axes(covariance, power=1.0).square().sum(0).sqrt()
    torch.testing.assert_close(released, torch.tensor([7.4, 7.2, 7.7]), atol=0.05, rtol=0)
    torch.testing.assert_close(printed, torch.tensor([3.2, 3.3, 3.4]), atol=0.15, rtol=0)


def test_axes_do_not_depend_on_the_sign_of_an_eigenvector() -> None:
    axes = color_axes(torch.tensor([[2.0, -1, 0], [-1, 2, 0], [0, 0, 9]]), power=0.5)
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()
