"""What is written in C computes what PyTorch's operations do, in value and in gradient."""

from collections.abc import Iterator

import pytest
import torch
from test_unpadding import batch_of
from torch import Tensor

from translator.model import Transformer, kernels
from translator.model.attend import attend
from translator.model.attend_rows import attend_rows, fits
from translator.model.attention import Attention, KeyValue
from translator.model.layers import LayerOptions
from translator.model.masks import causal_keep
from translator.model.unpadding import Unpadding
from translator.symbols import PAD
from translator.training import loss
from translator.training.loss import token_loss

pytestmark = pytest.mark.system

#: Lengths of sentences on both sides: of one piece, around a register's width, and long ones.
LENGTHS = [[(3, 4), (7, 2), (1, 1)], [(15, 16), (16, 17), (17, 15)], [(33, 5), (70, 90), (64, 1)]]
#: The greatest difference, and how much of a value it may be besides: rounding.
CLOSE = {torch.float32: (2e-6, 2e-5), torch.bfloat16: (2e-2, 2e-2)}


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    assert kernels.library() is not None, "these tests need a C compiler"


def sides(lengths: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """What is real of both sides: bool, (B, K) and (B, Q)."""
    found = []
    for side in (0, 1):
        numbers = torch.tensor([pair[side] for pair in lengths])
        found.append(torch.arange(int(numbers.max())) < numbers[:, None])
    return found[0], found[1]


def both_ways(
    lengths: list[tuple[int, int]], dtype: torch.dtype, head: int, *, of_itself: bool = False
) -> Iterator[tuple[Tensor, ...]]:
    """Attention's result and its gradients, by C and by PyTorch: real rows, as float32."""
    torch.manual_seed(4)
    real_keys, real_queries = sides(lengths)
    queries = Unpadding.of(real_queries)
    keys = queries if of_itself else Unpadding.of(real_keys)
    keep = causal_keep(real_queries.size(1)) if of_itself else real_keys[:, None, None, :]
    query = (2 * torch.randn(len(queries.places), 3 * head)).to(dtype).requires_grad_()
    joint = torch.randn(len(keys.places), 6 * head).to(dtype).requires_grad_()
    direction = torch.randn(len(queries.places), 3 * head).to(dtype)
    direction[queries.n :] = 0
    assert fits(query, keep, 3)
    (grid,), pair = queries.split(query, 3, 1), keys.split(joint, 3, 2)
    by_c = attend_rows(query, joint, keep, queries, keys, 3)
    assert torch.equal(by_c[queries.n :], torch.zeros_like(by_c[queries.n :]))
    for mixed in (by_c, queries.merge(attend(grid, *pair, keep))):
        of_query, of_joint = torch.autograd.grad(mixed, (query, joint), direction)
        yield tuple(x.float() for x in (mixed[: queries.n], of_query[: queries.n], of_joint[: keys.n]))


@pytest.mark.parametrize("of_itself", [True, False])
@pytest.mark.parametrize("head", [16, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_attention_is_that_of_the_padded_batch(
    lengths: list[tuple[int, int]], dtype: torch.dtype, head: int, of_itself: bool
) -> None:
    ours, theirs = both_ways(lengths, dtype, head, of_itself=of_itself)
    atol, rtol = CLOSE[dtype]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=atol, rtol=rtol)


def test_control_another_mask_is_another_result() -> None:
    ours, _ = both_ways([(5, 5)], torch.float32, 16, of_itself=True)
    _, theirs = both_ways([(5, 5)], torch.float32, 16)
    assert not torch.allclose(ours[0], theirs[0], atol=1e-2)


def test_a_mask_is_read_where_the_tokens_stand() -> None:
    """Real tokens need not come first, and a key may be hidden from one query alone."""
    torch.manual_seed(8)
    where = Unpadding.of(torch.tensor([[0, 1, 1, 0, 1], [1, 0, 1, 1, 1]], dtype=torch.bool))
    keep = torch.rand(2, 1, 5, 5) < 0.6
    keep |= torch.eye(5, dtype=torch.bool) | ~where_real(where)[:, None, :, None]
    keep &= where_real(where)[:, None, None, :] | ~where_real(where)[:, None, :, None]
    query, joint = torch.randn(len(where.places), 32), torch.randn(len(where.places), 64)
    (grid,), pair = where.split(query, 2, 1), where.split(joint, 2, 2)
    theirs = where.merge(attend(grid, *pair, keep))
    ours = attend_rows(query, joint, keep, where, where, 2)
    torch.testing.assert_close(ours[: where.n], theirs[: where.n], atol=2e-6, rtol=2e-5)


def where_real(where: Unpadding) -> Tensor:
    return (where.rows < where.n).view(where.shape)


def test_without_a_mask_everything_is_seen() -> None:
    torch.manual_seed(9)
    where = Unpadding.of(torch.ones(2, 3, dtype=torch.bool))
    query, joint = torch.randn(len(where.places), 16), torch.randn(len(where.places), 32)
    everything = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    assert torch.equal(
        attend_rows(query, joint, None, where, where, 1),
        attend_rows(query, joint, everything, where, where, 1),
    )


def model_of(**options: float) -> Transformer:
    torch.manual_seed(6)
    shape = LayerOptions(32, 2, 48, **options)  # type: ignore[arg-type]
    return Transformer(30, shape, n_encoder_layers=2, n_decoder_layers=2, max_length=16)


def states_and_gradients(model: Transformer, lengths: list[tuple[int, int]]) -> tuple[Tensor, ...]:
    source, target = batch_of(lengths)
    states = model.training_states(source, target)[: int((target != PAD).sum())]
    direction = torch.linspace(-1, 1, states.numel()).view_as(states)
    return states, *torch.autograd.grad(states, list(model.parameters()), direction)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_model_is_the_same_compiled(
    lengths: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    theirs = states_and_gradients(model, lengths)
    model.compiled = True
    torch.testing.assert_close(states_and_gradients(model, lengths), theirs, atol=1e-5, rtol=1e-4)
    # Control: it was by C.
    monkeypatch.setattr(kernels.Sentences, "attend", lambda self, *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        states_and_gradients(model, lengths)


def test_the_same_bits_each_time() -> None:
    model = model_of()
    model.compiled = True
    first, second = (states_and_gradients(model, LENGTHS[2]) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_what_it_cannot_do_is_done_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float64, narrow heads, dropout of weights; and weights that are to be seen."""
    monkeypatch.setattr(kernels.Sentences, "attend", lambda self, *_: 1 / 0)
    for model in (model_of().double(), model_of(attention_dropout=0.5)):
        model.compiled = True
        states_and_gradients(model, LENGTHS[0])
    attention, where = Attention(24, 3), Unpadding.of(torch.ones(2, 3, dtype=torch.bool), compiled=True)
    x = torch.randn(len(where.places), 24)
    assert attention(x, attention.project(x, where), unpadding=where).shape == x.shape
    attention, record = Attention(32, 2), []
    x = torch.randn(len(where.places), 32)
    attention(x, attention.project(x, where), unpadding=where, record=record)
    assert record[0].shape == (2, 2, 3, 3)
    assert isinstance(attention.project(torch.randn(2, 3, 32)), KeyValue)


@pytest.mark.parametrize("n_pieces", [16, 27, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_the_loss(dtype: torch.dtype, n_pieces: int) -> None:
    torch.manual_seed(5)
    logits, right = (4 * torch.randn(9, n_pieces)).to(dtype), torch.randint(0, n_pieces, (9,))
    by_c, by_torch = logits.clone(), logits.clone()
    ours = kernels.loss_rows(by_c, right, 0.9)
    theirs = loss.loss_rows(by_torch, right, 0.9)
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(by_c, by_torch, atol=1e-6, rtol=8e-3 if dtype == torch.bfloat16 else 1e-5)


def test_far_apart_and_lost_logits() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, float("nan"), 1.0]])
    log_z, _ = kernels.loss_rows(logits, torch.tensor([0, 2]), 0.5)
    assert log_z[0] == 1e4
    torch.testing.assert_close(logits[0], torch.tensor([0.5, 0.0, 0.0]))
    assert log_z[1].isnan()
    assert logits[1].isnan().all()


@pytest.mark.parametrize("chunk", [512, 3])
def test_the_loss_is_the_same_compiled(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK", chunk)
    torch.manual_seed(3)
    states, weight = torch.randn(9, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    targets = torch.randint(0, 11, (7,))
    found = []
    for compiled in (True, False):
        smoothed, plain = token_loss(states, weight, targets, 0.1, compiled=compiled)
        found.append((smoothed, plain, *torch.autograd.grad(smoothed * 0.3, (states, weight))))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)
