"""Without padding the model computes what it computes with it, in value and in gradient."""

import pytest
import torch
from torch import Tensor

from translator.engine.ops import Ops
from translator.engine.packing import PackedLayout, round_rows
from translator.engine.training import TrainingEngine
from translator.model import Transformer
from translator.model.layers import LayerOptions
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
    engine = TrainingEngine(model, Ops())
    unpadded = engine.states(source, target)
    n = len(padded)
    assert unpadded.size(0) == round_rows(n)
    torch.testing.assert_close(unpadded[:n], padded)
    parameters = list(model.parameters())
    direction = torch.randn_like(padded)
    ours = torch.autograd.grad(unpadded[:n], parameters, direction)
    theirs = torch.autograd.grad(padded, parameters, direction)
    torch.testing.assert_close(ours, theirs)
    # Control: one token less has other states.
    source[0, 0] = 29 if source[0, 0] != 29 else 28
    assert not torch.allclose(engine.states(source, target)[:n], padded)


def test_there_are_few_round_numbers_and_one_is_near() -> None:
    found = [round_rows(n) for n in range(1, 4096)]
    assert found[:8] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert found[1279:1283] == [1408] * 4
    assert found[1407] == 1536
    assert all(n < number <= n * 9 / 8 + 1 for n, number in enumerate(found, 1))
    assert len({number for number in found if 1024 < number <= 2048}) == 8


REAL = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)


def test_heads_are_split_and_merged_as_the_grid_has_them() -> None:
    layout = PackedLayout.from_mask(REAL)
    n, n_heads, n_parts, width = 6, 2, 3, 5
    assert layout.n_tokens == n
    rows = torch.randn(round_rows(n), n_parts * n_heads * width)
    parts = layout.split_heads(rows, n_heads, n_parts)
    assert [part.shape for part in parts] == [(3, n_heads, 3, width)] * n_parts
    split = rows[:n].view(n, n_parts, n_heads, width)
    for number, part in enumerate(parts):
        assert torch.equal(part.transpose(1, 2)[REAL], split[:, number])
        assert torch.equal(layout.merge_heads(part)[:n], split[:, number].flatten(1))
    assert not torch.equal(parts[0], parts[1])
    ids = torch.arange(9).view(3, 3)
    assert layout.pack_ids(ids, 99).tolist() == [0, 1, 3, 6, 7, 8, 99]


def test_gradients_are_those_of_indexing_and_zero_for_padding() -> None:
    layout = PackedLayout.from_mask(REAL)
    n, n_heads = 6, 2
    rows = torch.randn(round_rows(n), 2 * n_heads * 4, requires_grad=True)
    key, value = layout.split_heads(rows, n_heads, 2)
    (key.transpose(1, 2)[REAL].square().sum() + 3 * value.transpose(1, 2)[REAL].square().sum()).backward()
    assert rows.grad is not None
    factors = torch.tensor([2.0, 6.0]).repeat_interleave(n_heads * 4)
    torch.testing.assert_close(rows.grad[:n], factors * rows.detach()[:n])
    assert not rows.grad[n:].any()
    heads = torch.randn(3, n_heads, 3, 4, requires_grad=True)
    layout.merge_heads(heads)[:n].square().sum().backward()
    assert heads.grad is not None
    by_place, its_gradient = heads.detach().transpose(1, 2), heads.grad.transpose(1, 2)
    torch.testing.assert_close(its_gradient[REAL], 2 * by_place[REAL])
    assert not its_gradient[~REAL].any()
