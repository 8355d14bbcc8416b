import pytest
import torch

from ablations.techniques.dropout import InvertedDropout, PaperDropout, draw_mask


@pytest.mark.parametrize("bits", [8, 16])
def test_two_processes_draw_the_masks_of_one(bits: int) -> None:
    rows = torch.arange(7)
    whole, first, second = (
        draw_mask(5, part, 21, bits=bits) for part in (rows, rows[:3], rows[3:])
    )
    assert torch.equal(torch.cat([first, second]), whole)
    assert not torch.equal(whole, draw_mask(6, rows, 21, bits=bits))


def test_half_of_the_outputs_are_kept() -> None:
    mask = draw_mask(1, torch.arange(500), 400)
    # Six standard deviations of 200,000 coins, and of the 500 coins of a column.
    assert abs(mask.float().mean() - 0.5) < 6 * 0.5 / 200_000**0.5
    assert (mask.float().mean(0) - 0.5).abs().max() < 6 * 0.5 / 500**0.5


def test_training_keeps_the_size_and_evaluation_halves_it() -> None:
    layer, x = PaperDropout(), torch.full((4, 10), 3.0)
    layer.seed(0, torch.arange(4))
    assert torch.equal(layer(x), 3.0 * draw_mask(0, torch.arange(4), 10))
    assert torch.equal(layer.eval()(x), torch.full((4, 10), 1.5))


def test_a_mask_serves_one_forward_pass() -> None:
    layer, x = PaperDropout(), torch.ones(4, 200)
    layer.seed(0, torch.arange(4))
    assert not torch.equal(layer(x), layer(x))


def test_dropout_of_keras_scales_what_it_keeps_and_rests_in_evaluation() -> None:
    layer, x = InvertedDropout(rate=0.2), torch.ones(40, 1001)
    layer.seed(3, torch.arange(40))
    kept = layer(x)
    assert set(kept.unique().tolist()) == {0.0, 1.25}
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(layer.eval()(x), x)
