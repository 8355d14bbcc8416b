import pytest
import torch
from torch import nn

from ablations.techniques import Dropout
from ablations.techniques.dropout import PaperDropout, draw_mask, dropout_layer


def test_two_processes_draw_the_masks_of_one() -> None:
    rows = torch.arange(7)
    whole = draw_mask(5, rows, 21)
    assert torch.equal(torch.cat([draw_mask(5, rows[:3], 21), draw_mask(5, rows[3:], 21)]), whole)


def test_half_of_the_outputs_are_kept() -> None:
    mask = draw_mask(1, torch.arange(500), 400)
    # Six standard deviations of 200,000 coins, and of the 500 coins of a column.
    assert abs(mask.float().mean() - 0.5) < 6 * 0.5 / 200_000**0.5
    assert (mask.float().mean(0) - 0.5).abs().max() < 6 * 0.5 / 500**0.5


def test_masks_differ_between_keys_and_rows() -> None:
    mask = draw_mask(1, torch.arange(2), 64)
    assert not torch.equal(mask[0], mask[1])
    assert not torch.equal(mask, draw_mask(2, torch.arange(2), 64))


def test_training_keeps_the_size_and_evaluation_halves_it() -> None:
    layer, x = PaperDropout(10), torch.full((4, 10), 3.0)
    layer.draw(0, torch.arange(4))
    assert torch.equal(layer(x), 3.0 * draw_mask(0, torch.arange(4), 10))
    assert torch.equal(layer.eval()(x), torch.full((4, 10), 1.5))


def test_a_mask_serves_one_forward_pass() -> None:
    layer, x = PaperDropout(200), torch.ones(4, 200)
    layer.draw(0, torch.arange(4))
    assert not torch.equal(layer(x), layer(x))


def test_without_a_mask_torchs_generator_decides() -> None:
    layer, x = PaperDropout(50), torch.ones(4, 50)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert set(first.unique().tolist()) == {0.0, 1.0}


def test_a_mask_of_another_batch_is_refused() -> None:
    layer = PaperDropout(10)
    layer.draw(0, torch.arange(3))
    with pytest.raises(ValueError, match=r"\(3, 10\) for \(4, 10\)"):
        layer(torch.ones(4, 10))


def test_dropout_keeps_the_dtype() -> None:
    layer = PaperDropout(8)
    layer.draw(0, torch.arange(2))
    assert layer(torch.ones(2, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_off_does_nothing() -> None:
    assert isinstance(dropout_layer(Dropout.off, 8), nn.Identity)
    assert isinstance(dropout_layer(Dropout.on, 8), PaperDropout)
