"""What is written in C computes what PyTorch's operations do, in value and in gradient."""

from collections.abc import Iterator

import pytest
import torch
from test_unpadding import batch_of
from torch import Tensor
from translator.model.attend import attend
from translator.model.compiled import add_dropped, attend_rows, attends, normalise
from translator.model.unpadding import Unpadding
from translator.training.loss import token_loss

from translator.model import Transformer, kernels
from translator.model.attention import Attention, KeyValue
from translator.model.layers import LayerOptions
from translator.model.masks import causal_mask
from translator.symbols import PAD
from translator.training import loss

pytestmark = pytest.mark.system

#: Lengths of sentences on both sides: of one piece, around a register's width, and long ones.
LENGTHS = [[(3, 4), (7, 2), (1, 1)], [(15, 16), (16, 17), (17, 15)], [(33, 5), (70, 90), (64, 1)]]
#: The greatest difference, and how much of a value it may be besides: rounding.
CLOSE = {torch.float32: (2e-6, 2e-5), torch.bfloat16: (2e-2, 2e-2)}


@pytest.fixture(autouse=True)
def _in_use() -> Iterator[None]:
    assert kernels.library() is not None, "these tests need a C compiler"
    kernels.use(True)
    yield
    kernels.use(False)


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
    keep = causal_mask(real_queries.size(1)) if of_itself else real_keys[:, None, None, :]
    query = (2 * torch.randn(len(queries.places), 3 * head)).to(dtype).requires_grad_()
    joint = torch.randn(len(keys.places), 6 * head).to(dtype).requires_grad_()
    direction = torch.randn(len(queries.places), 3 * head).to(dtype)
    direction[queries.n :] = 0
    assert attends(query, joint, keep, 3)
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
    kernels.use(False)
    theirs = states_and_gradients(model, lengths)
    kernels.use(True)
    torch.testing.assert_close(states_and_gradients(model, lengths), theirs, atol=1e-5, rtol=1e-4)
    # Control: it was by C.
    monkeypatch.setattr(kernels.Sentences, "attend", lambda self, *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        states_and_gradients(model, lengths)


def test_the_same_bits_each_time() -> None:
    found = []
    for _ in range(2):
        model = model_of(dropout=0.1)
        torch.manual_seed(1)
        found.append(states_and_gradients(model, LENGTHS[2]))
    first, second = found
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_what_it_cannot_do_is_done_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float64, narrow heads, dropout of weights; and weights that are to be seen."""
    monkeypatch.setattr(kernels.Sentences, "attend", lambda self, *_: 1 / 0)
    for model in (model_of().double(), model_of(attention_dropout=0.5)):
        states_and_gradients(model, LENGTHS[0])
    attention, where = Attention(6, 3), Unpadding.of(torch.ones(2, 3, dtype=torch.bool))
    x = torch.randn(len(where.places), 6)
    assert attention(x, attention.project(x, where), unpadding=where).shape == x.shape
    attention, record = Attention(32, 2), []
    x = torch.randn(len(where.places), 32)
    attention(x, attention.project(x, where), unpadding=where, record=record)
    assert record[0].shape == (2, 2, 3, 3)
    assert isinstance(attention.project(torch.randn(2, 3, 32)), KeyValue)
    kernels.use(False)
    assert isinstance(attention.project(x, where), KeyValue)


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
    for is_compiled in (True, False):
        kernels.use(is_compiled)
        smoothed, plain = token_loss(states, weight, targets, 0.1)
        found.append((smoothed, plain, *torch.autograd.grad(smoothed * 0.3, (states, weight))))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(400, 64), (3, 5, 7), (1, 1)])
def test_dropout_is_added(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """What is kept is scaled, as much as asked for is dropped, and going back drops the same."""
    torch.manual_seed(2)
    x, update = torch.randn(shape, requires_grad=True), torch.randn(shape).to(dtype).requires_grad_()
    found = add_dropped(x, update, 64, torch.Generator().manual_seed(5))
    assert found is not None
    kept = (found - x).abs() > 1e-7
    torch.testing.assert_close(found, x + update.float() / 0.75 * kept)
    direction = torch.randn(shape)
    of_x, of_update = torch.autograd.grad(found, (x, update), direction)
    assert torch.equal(of_x, direction)
    torch.testing.assert_close(of_update, (direction / 0.75 * kept).to(dtype))
    again = add_dropped(x, update, 64, torch.Generator().manual_seed(5))
    assert again is not None
    assert torch.equal(again, found)


def test_dropout_draws_evenly() -> None:
    """Every place of a register and of a word is dropped as often, and no draw says anything of the next."""
    ones, zeros = torch.ones(2000, 512), torch.zeros(2000, 512)
    generator = torch.Generator().manual_seed(7)
    first, second = (add_dropped(zeros, ones, 64, generator) for _ in range(2))
    assert first is not None
    assert second is not None
    dropped, others = (first == 0).double(), (second == 0).double()
    assert dropped.mean().item() == pytest.approx(0.25, abs=4 * (0.1875 / dropped.numel()) ** 0.5)
    assert (dropped.mean(0) - 0.25).abs().max() < 5 * (0.1875 / 2000) ** 0.5
    deviation = 0.1875 / dropped.numel() ** 0.5
    for lag in (1, 16, 64, 512):
        product = (dropped.flatten()[lag:] - 0.25) * (dropped.flatten()[:-lag] - 0.25)
        assert product.mean().abs() < 4 * deviation
    assert ((dropped - 0.25) * (others - 0.25)).mean().abs() < 4 * deviation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [16, 48, 256])
def test_a_layer_norm(width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    norm = torch.nn.LayerNorm(width)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, direction = (3 + 2 * torch.randn(21, width)).requires_grad_(), torch.randn(21, width).to(dtype)
    found = normalise(norm, x, dtype)
    assert found is not None
    every = (x, norm.weight, norm.bias)
    theirs = torch.autograd.grad(norm(x), every, direction.float())
    torch.testing.assert_close(torch.autograd.grad(found, every, direction), theirs, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(found, norm(x).to(dtype))


def test_norms_and_dropout_that_c_cannot_do() -> None:
    x = torch.randn(3, 18, dtype=torch.float64)
    assert normalise(torch.nn.LayerNorm(18), x.float(), torch.float32) is None
    assert normalise(torch.nn.LayerNorm(32).half(), torch.randn(3, 32), torch.float16) is None
    assert normalise(torch.nn.LayerNorm(32).bfloat16(), torch.randn(3, 32), torch.float32) is None
    assert add_dropped(x, x, 128, None) is None
    assert add_dropped(x.float(), x.float()[:1], 128, None) is None
    assert not attends(torch.randn(3, 32), torch.randn(3, 64).bfloat16(), None, 2)
    kernels.use(False)
    assert add_dropped(x.float(), x.float(), 128, None) is None
