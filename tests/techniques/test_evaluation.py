import torch
from torch.nn import functional

from ablations.techniques.evaluation import (
    average_cross_entropy,
    average_probabilities,
    ten_views,
)


def test_ten_views_are_corners_center_and_their_mirror_images() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 7, 7, 3), dtype=torch.uint8, generator=generator)
    views = ten_views(images, 4)
    assert views.shape == (2, 10, 4, 4, 3)
    assert views.dtype == torch.uint8
    # S - crop = 3; the center starts at 3 // 2.
    corners = [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
    for view, (top, left) in enumerate(corners):
        expected = images[:, top : top + 4, left : left + 4]
        assert torch.equal(views[:, view], expected)
        assert torch.equal(views[:, view + 5], expected.flip(2))


def test_probabilities_are_averaged_not_logits() -> None:
    logits = torch.tensor([[[0.0, 0.0], [1000.0, 0.0]]])
    assert average_probabilities(logits).tolist() == [[0.75, 0.25]]
    assert average_probabilities(logits.bfloat16()).dtype == torch.float32


def test_the_loss_is_that_of_the_averaged_probabilities() -> None:
    logits = torch.randn(6, 10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    expected = functional.nll_loss(average_probabilities(logits).log(), labels, reduction="none")
    torch.testing.assert_close(average_cross_entropy(logits, labels), expected)
