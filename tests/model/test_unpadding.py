"""Without padding the model computes what it computes with it, in value and in gradient."""

import pytest
import torch
from torch import Tensor

from translator.model import Transformer
from translator.model.layers import LayerOptions
from translator.model.unpadding import Unpadding, round_number
from translator.symbols import BOS, EOS, PAD

LENGTHS = [[(3, 4), (7, 2), (1, 9)], [(5, 5)] * 2, [(1, 1)], [(20, 30), (2, 40)]]


def model_of(norm: str) -> Transformer:
    torch.manual_seed(6)
    options = LayerOptions(8, 2, 12, norm=norm)  # type: ignore[arg-type]
    return Transformer(30, options, n_encoder_layers=2, n_decoder_layers=2, max_length=16).double()


def batch_of(lengths: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    sides = []
    for side in (0, 1):
        rows = [torch.randint(4, 30, (pair[side],), generator=draw).tolist() for pair in lengths]
        rows = [[BOS, *row] if side else [*row, EOS] for row in rows]
        longest = max(map(len, rows))
        sides.append(torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows]))
    return sides[0], sides[1]


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_and_gradients_are_those_of_the_padded_batch(
    lengths: list[tuple[int, int]], norm: str
) -> None:
    model, (source, target) = model_of(norm), batch_of(lengths)
    padded = model.decode(model.encode(source), target)[target != PAD]
    unpadded = model.training_states(source, target)
    n = len(padded)
    assert unpadded.size(0) == round_number(n)
    torch.testing.assert_close(unpadded[:n], padded)
    parameters = list(model.parameters())
    direction = torch.randn_like(padded)
    ours = torch.autograd.grad(unpadded[:n], parameters, direction)
    theirs = torch.autograd.grad(padded, parameters, direction)
    torch.testing.assert_close(ours, theirs)
    # Control: one token less has other states.
    source[0, 0] = 29 if source[0, 0] != 29 else 28
    assert not torch.allclose(model.training_states(source, target)[:n], padded)


def test_there_are_few_round_numbers_and_one_is_near() -> None:
    found = [round_number(n) for n in range(1, 4096)]
    assert found[:8] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert found[1279:1283] == [1408] * 4
    assert found[1407] == 1536
    assert all(n < number <= n * 9 / 8 + 1 for n, number in enumerate(found, 1))
    assert len({number for number in found if 1024 < number <= 2048}) == 8


def test_unpadding_and_padding_are_each_others_inverse() -> None:
    real = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    unpadding = Unpadding.of(real)
    grid = torch.randn(3, 3, 2)
    assert unpadding.n == 6
    assert torch.equal(unpadding.unpad(grid)[:6], grid[real])
    assert torch.equal(unpadding.pad(unpadding.unpad(grid))[real], grid[real])
    ids = torch.arange(9).view(3, 3)
    assert unpadding.ids(ids, 99).tolist() == [0, 1, 3, 6, 7, 8, 99]


def test_gradients_are_those_of_indexing_and_zero_for_padding() -> None:
    real = torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.bool)
    unpadding = Unpadding.of(real)
    rows = torch.randn(round_number(3), 2, requires_grad=True)
    unpadding.pad(rows)[real].square().sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad[:3], 2 * rows.detach()[:3])
    assert not rows.grad[3:].any()
    grid = torch.randn(2, 3, 2, requires_grad=True)
    unpadding.unpad(grid)[:3].square().sum().backward()
    assert grid.grad is not None
    torch.testing.assert_close(grid.grad[real], 2 * grid.detach()[real])
    assert not grid.grad[~real].any()
