import pytest
import torch

from ablations.techniques import Pooling
from ablations.techniques.pooling import pooling_layer


@pytest.mark.parametrize("average", [False, True])
def test_overlap_and_nonoverlap_give_the_same_grid_on_every_size(average: bool) -> None:
    for n in [*range(2, 65), 110, 111, 112, 113, 222, 223, 224, 225, 226, 227]:
        x = torch.zeros(1, 1, 2, n)
        for kind in Pooling:
            assert pooling_layer(kind, average=average)(x).shape == (1, 1, 1, n // 2), (kind, n)


def test_a_mean_over_the_border_counts_only_the_pixels_that_it_covers() -> None:
    x = torch.arange(4.0).expand(1, 1, 4, 4)
    # Columns {0, 1, 2} and {2, 3}.
    assert pooling_layer(Pooling.overlap, average=True)(x)[0, 0, 0].tolist() == [1.0, 2.5]
