"""What is written in C computes what PyTorch's operations do, in value and in gradient."""

from collections.abc import Iterator

import pytest
import torch
from test_packing import batch_of
from torch import Tensor

from translator.engine import cross_entropy
from translator.engine.attention import scaled_dot_product_attention
from translator.engine.native import Native
from translator.engine.ops import DropoutRNG, Ops
from translator.engine.packing import PackedLayout
from translator.engine.training import TrainingEngine
from translator.model import Transformer
from translator.model.layers import LayerOptions
from translator.model.masks import causal_mask
from translator.symbols import PAD

#: Lengths of sentences on both sides: of one piece, around a register's width, and long ones.
LENGTHS = [[(3, 4), (7, 2), (1, 1)], [(15, 16), (16, 17), (17, 15)], [(33, 5), (70, 90), (64, 1)]]
#: The greatest difference, and how much of a value it may be besides: rounding.
CLOSE = {torch.float32: (2e-6, 2e-5), torch.bfloat16: (2e-2, 2e-2)}


def varlen_attention(
    native: Native | None,
    query: Tensor,
    kv: Tensor,
    mask: Tensor,
    queries: PackedLayout,
    keys: PackedLayout,
    n_heads: int,
) -> Tensor:
    return Ops(native).varlen_attention(
        query, kv, mask, queries, keys, n_heads, dropout=0.0, rng=DropoutRNG()
    )


def sides(lengths: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """What is real of both sides: bool, (B, K) and (B, Q)."""
    found = []
    for side in (0, 1):
        numbers = torch.tensor([pair[side] for pair in lengths])
        found.append(torch.arange(int(numbers.max())) < numbers[:, None])
    return found[0], found[1]


def both_ways(
    native: Native, lengths: list[tuple[int, int]], dtype: torch.dtype, head: int, *, of_itself: bool = False
) -> Iterator[tuple[Tensor, ...]]:
    """Attention's result and its gradients, by C and by PyTorch: real rows, as float32."""
    torch.manual_seed(4)
    real_keys, real_queries = sides(lengths)
    queries = PackedLayout.from_mask(real_queries)
    keys = queries if of_itself else PackedLayout.from_mask(real_keys)
    mask = causal_mask(real_queries.size(1)) if of_itself else real_keys[:, None, None, :]
    query = (2 * torch.randn(len(queries.indices), 3 * head)).to(dtype).requires_grad_()
    kv = torch.randn(len(keys.indices), 6 * head).to(dtype).requires_grad_()
    direction = torch.randn(len(queries.indices), 3 * head).to(dtype)
    direction[queries.n_tokens :] = 0
    assert native.supports(query, kv, width=head)
    (grid,), pair = queries.split_heads(query, 3, 1), keys.split_heads(kv, 3, 2)
    by_c = varlen_attention(native, query, kv, mask, queries, keys, 3)
    assert type(by_c.grad_fn).__name__ == "_VarlenAttentionBackward"
    assert torch.equal(by_c[queries.n_tokens :], torch.zeros_like(by_c[queries.n_tokens :]))
    for attended in (by_c, queries.merge_heads(scaled_dot_product_attention(grid, *pair, mask))):
        d_query, d_kv = torch.autograd.grad(attended, (query, kv), direction)
        n = queries.n_tokens
        yield tuple(x.float() for x in (attended[:n], d_query[:n], d_kv[: keys.n_tokens]))


@pytest.mark.parametrize("of_itself", [True, False])
@pytest.mark.parametrize("head", [16, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_attention_is_that_of_the_padded_batch(
    native: Native, lengths: list[tuple[int, int]], dtype: torch.dtype, head: int, of_itself: bool
) -> None:
    ours, theirs = both_ways(native, lengths, dtype, head, of_itself=of_itself)
    atol, rtol = CLOSE[dtype]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=atol, rtol=rtol)


def test_control_another_mask_is_another_result(native: Native) -> None:
    ours, _ = both_ways(native, [(5, 5)], torch.float32, 16, of_itself=True)
    _, theirs = both_ways(native, [(5, 5)], torch.float32, 16)
    assert not torch.allclose(ours[0], theirs[0], atol=1e-2)


def test_a_mask_is_read_where_the_tokens_stand(native: Native) -> None:
    """Real tokens need not come first, and a key may be hidden from one query alone."""
    torch.manual_seed(8)
    is_real = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 1, 1, 1]], dtype=torch.bool)
    layout = PackedLayout.from_mask(is_real)
    mask = torch.rand(2, 1, 5, 5) < 0.6
    mask |= torch.eye(5, dtype=torch.bool) | ~is_real[:, None, :, None]
    mask &= is_real[:, None, None, :] | ~is_real[:, None, :, None]
    query, kv = torch.randn(len(layout.indices), 32), torch.randn(len(layout.indices), 64)
    (grid,), pair = layout.split_heads(query, 2, 1), layout.split_heads(kv, 2, 2)
    theirs = layout.merge_heads(scaled_dot_product_attention(grid, *pair, mask))
    ours = varlen_attention(native, query, kv, mask, layout, layout, 2)
    n = layout.n_tokens
    torch.testing.assert_close(ours[:n], theirs[:n], atol=2e-6, rtol=2e-5)


def test_a_mask_of_one_value_is_expanded(native: Native) -> None:
    torch.manual_seed(9)
    layout = PackedLayout.from_mask(torch.ones(2, 3, dtype=torch.bool))
    query, kv = torch.randn(len(layout.indices), 16), torch.randn(len(layout.indices), 32)
    everything = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    whole = torch.ones(2, 1, 3, 3, dtype=torch.bool)
    assert torch.equal(
        varlen_attention(native, query, kv, everything, layout, layout, 1),
        varlen_attention(native, query, kv, whole, layout, layout, 1),
    )


@pytest.mark.parametrize("by_c", [True, False])
def test_a_mask_that_is_not_bool_is_refused(native: Native, by_c: bool) -> None:
    """A bias of floats, read as bytes, would give NaN."""
    layout = PackedLayout.from_mask(torch.ones(2, 3, dtype=torch.bool))
    query, kv = torch.randn(len(layout.indices), 16), torch.randn(len(layout.indices), 32)
    bias = torch.zeros(1, 1, 3, 3)
    with pytest.raises(TypeError):
        varlen_attention(native if by_c else None, query, kv, bias, layout, layout, 1)
    if by_c:
        with pytest.raises(TypeError, match=r"the mask is torch\.float32, not bool"):
            native.attention(query, kv, bias, layout, layout, 1)


@pytest.mark.parametrize("default", [torch.float64, torch.float16])
def test_the_default_dtype_of_torch_changes_nothing(native: Native, default: torch.dtype) -> None:
    """What C writes to is float32, however wide torch's new tensors are."""
    torch.manual_seed(5)
    layout = PackedLayout.from_mask(torch.ones(2, 5, dtype=torch.bool))
    query, kv = torch.randn(len(layout.indices), 32), torch.randn(len(layout.indices), 64)
    norm, mask = torch.nn.LayerNorm(32), causal_mask(5)

    def everything() -> list[Tensor]:
        attended, weights = native.attention(query, kv, mask, layout, layout, 2)
        found = native.attention_backward(query, query, kv, weights, layout, layout, 2)
        logits = query.clone()
        numbers = native.softmax_cross_entropy_(logits, torch.arange(len(query)), 0.9)
        dropped = native.dropout_add(query, query, seed=3, threshold=64, dtype=torch.float32)
        normed = native.layer_norm(query, norm.weight.detach(), norm.bias.detach(), 1e-5, torch.float32)
        back = native.layer_norm_backward(query, query, norm.weight.detach(), *normed[1:])
        return [attended, *found, logits, *numbers, dropped, *normed, *back]

    expected = everything()
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        found = everything()
    finally:
        torch.set_default_dtype(before)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def model_of(**options: float) -> Transformer:
    torch.manual_seed(6)
    shape = LayerOptions(32, 2, 48, **options)  # type: ignore[arg-type]
    return Transformer(30, shape, n_encoder_layers=2, n_decoder_layers=2, max_length=16)


def states_and_gradients(engine: TrainingEngine, lengths: list[tuple[int, int]]) -> tuple[Tensor, ...]:
    source, target = batch_of(lengths)
    states = engine.states(source, target)[: int((target != PAD).sum())]
    direction = torch.linspace(-1, 1, states.numel()).view_as(states)
    return states, *torch.autograd.grad(states, list(engine.model.parameters()), direction)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_a_model_is_the_same_in_c(
    native: Native, lengths: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    theirs = states_and_gradients(TrainingEngine(model, Ops()), lengths)
    ours = states_and_gradients(TrainingEngine(model, Ops(native)), lengths)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    # Control: it was by C, and the other was not.
    monkeypatch.setattr(Native, "attention", lambda self, *_: 1 / 0)
    states_and_gradients(TrainingEngine(model, Ops()), lengths)
    with pytest.raises(ZeroDivisionError):
        states_and_gradients(TrainingEngine(model, Ops(native)), lengths)


def test_the_same_bits_each_time(native: Native) -> None:
    found = []
    for _ in range(2):
        engine = TrainingEngine(model_of(dropout=0.1), Ops(native))
        torch.manual_seed(1)
        found.append(states_and_gradients(engine, LENGTHS[2]))
    first, second = found
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_engines_of_both_kinds_work_beside_each_other(native: Native) -> None:
    """Neither knows of the other, though one goes forward while the other has yet to go back."""
    model = model_of()
    engines = [TrainingEngine(model, Ops(which)) for which in (native, None)]
    source, target = batch_of(LENGTHS[0])
    alone = [states_and_gradients(engine, LENGTHS[0]) for engine in engines]
    n = int((target != PAD).sum())
    both = [engine.states(source, target)[:n] for engine in engines]
    direction = torch.linspace(-1, 1, both[0].numel()).view_as(both[0])
    for states, (expected, *gradients) in zip(both, alone, strict=True):
        assert torch.equal(states, expected)
        found = torch.autograd.grad(states, list(model.parameters()), direction)
        assert all(torch.equal(one, other) for one, other in zip(found, gradients, strict=True))


def test_a_pass_goes_back_after_another_engine_has_ended(native: Native) -> None:
    """As in a callback that trains a little model of its own between forward and backward."""
    model, (source, target) = model_of(), batch_of(LENGTHS[0])
    expected = states_and_gradients(TrainingEngine(model, Ops(native)), LENGTHS[0])
    n = int((target != PAD).sum())
    states = TrainingEngine(model, Ops(native)).states(source, target)[:n]
    other = TrainingEngine(model_of(), Ops())
    states_and_gradients(other, LENGTHS[1])
    del other
    direction = torch.linspace(-1, 1, states.numel()).view_as(states)
    found = torch.autograd.grad(states, list(model.parameters()), direction)
    assert all(torch.equal(one, two) for one, two in zip(found, expected[1:], strict=True))


def test_what_it_cannot_do_is_done_by_pytorch(native: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float64, narrow heads, dropout of weights, a mask for each head, two dtypes."""
    monkeypatch.setattr(Native, "attention", lambda self, *_: 1 / 0)
    for model in (model_of().double(), model_of(attention_dropout=0.5)):
        states_and_gradients(TrainingEngine(model, Ops(native)), LENGTHS[0])
    layout = PackedLayout.from_mask(torch.ones(2, 3, dtype=torch.bool))
    n, mask = len(layout.indices), torch.ones(1, 1, 1, 1, dtype=torch.bool)
    query, kv = torch.randn(n, 6), torch.randn(n, 12)
    assert varlen_attention(native, query, kv, mask, layout, layout, 3).shape == query.shape
    query, kv = torch.randn(n, 32), torch.randn(n, 64)
    by_head = torch.ones(2, 2, 3, 3, dtype=torch.bool)
    assert varlen_attention(native, query, kv, by_head, layout, layout, 2).shape == query.shape
    with torch.no_grad(), pytest.raises(RuntimeError):  # PyTorch's own word, not C's
        varlen_attention(native, query, kv.bfloat16(), mask, layout, layout, 2)


@pytest.mark.parametrize("n_pieces", [16, 27, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_the_loss(native: Native, dtype: torch.dtype, n_pieces: int) -> None:
    torch.manual_seed(5)
    logits, targets = (4 * torch.randn(9, n_pieces)).to(dtype), torch.randint(0, n_pieces, (9,))
    by_c, by_torch = logits.clone(), logits.clone()
    ours = native.softmax_cross_entropy_(by_c, targets, 0.9)
    theirs = cross_entropy.softmax_cross_entropy_(by_torch, targets, 0.9)
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(by_c, by_torch, atol=1e-6, rtol=8e-3 if dtype == torch.bfloat16 else 1e-5)


def test_far_apart_and_lost_logits(native: Native) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, float("nan"), 1.0]])
    log_z, _ = native.softmax_cross_entropy_(logits, torch.tensor([0, 2]), 0.5)
    assert log_z[0] == 1e4
    torch.testing.assert_close(logits[0], torch.tensor([0.5, 0.0, 0.0]))
    assert log_z[1].isnan()
    assert logits[1].isnan().all()


@pytest.mark.parametrize("chunk", [512, 3])
def test_the_loss_is_the_same_in_c(native: Native, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK", chunk)
    torch.manual_seed(3)
    states, weight = torch.randn(9, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    targets = torch.randint(0, 11, (7,))
    found = []
    for which in (native, None):
        smoothed, nll = Ops(which).cross_entropy(states, weight, targets, 0.1)
        found.append((smoothed, nll, *torch.autograd.grad(smoothed * 0.3, (states, weight))))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)
    # Control: it was by C.
    monkeypatch.setattr(Native, "softmax_cross_entropy_", lambda self, *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Ops(native).cross_entropy(states, weight, targets, 0.1)


def by_c_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what falls back on PyTorch's dropout fail."""
    monkeypatch.setattr(Ops, "dropout", lambda self, *_: 1 / 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(400, 64), (3, 5, 7), (1, 1)])
def test_dropout_is_added(
    native: Native, shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is scaled, as much as asked for is dropped, and going back drops the same."""
    by_c_alone(monkeypatch)
    torch.manual_seed(2)
    x, update = torch.randn(shape, requires_grad=True), torch.randn(shape).to(dtype).requires_grad_()

    def add() -> tuple[Tensor, Tensor]:
        rng = DropoutRNG(torch.Generator().manual_seed(5), masks=[])
        result = Ops(native).dropout_add(x, update, 0.25, rng)
        assert rng.masks is not None
        [mask] = rng.masks
        return result, mask

    found, mask = add()
    kept = (found - x).abs() > 1e-7
    torch.testing.assert_close(found, x + update.float() / 0.75 * kept)
    torch.testing.assert_close(mask, kept / 0.75)  # what is said of it
    direction = torch.randn(shape)
    of_x, of_update = torch.autograd.grad(found, (x, update), direction)
    assert torch.equal(of_x, direction)
    torch.testing.assert_close(of_update, (direction / 0.75 * kept).to(dtype))
    assert torch.equal(add()[0], found)


def test_dropout_draws_evenly(native: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place of a register and of a word is dropped as often, and no draw says anything of the next."""
    by_c_alone(monkeypatch)
    ones, zeros = torch.ones(2000, 512), torch.zeros(2000, 512)
    rng = DropoutRNG(torch.Generator().manual_seed(7))
    first, second = (Ops(native).dropout_add(zeros, ones, 0.25, rng) for _ in range(2))
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
def test_a_layer_norm(native: Native, width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    norm = torch.nn.LayerNorm(width)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x, direction = (3 + 2 * torch.randn(21, width)).requires_grad_(), torch.randn(21, width).to(dtype)
    found = Ops(native).layer_norm(norm, x, dtype)
    assert type(found.grad_fn).__name__ == "_LayerNormBackward"
    every = (x, norm.weight, norm.bias)
    theirs = torch.autograd.grad(norm(x), every, direction.float())
    torch.testing.assert_close(torch.autograd.grad(found, every, direction), theirs, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(found, norm(x).to(dtype))


def test_norms_that_c_cannot_do_are_pytorchs(native: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Native, "layer_norm", lambda self, *_: 1 / 0)
    cases = [(18, torch.float32, torch.float32), (32, torch.float16, torch.float32)]
    cases += [(32, torch.float64, torch.float64), (32, torch.bfloat16, torch.bfloat16)]
    for width, dtype, result in cases:
        norm, x = torch.nn.LayerNorm(width).to(dtype), torch.randn(3, width).to(dtype)
        if (width, native.lanes) != (18, 1):
            assert torch.equal(Ops(native).layer_norm(norm, x, result), norm(x).to(result))
    with pytest.raises(ZeroDivisionError):  # control
        Ops(native).layer_norm(torch.nn.LayerNorm(32), torch.randn(3, 32), torch.float32)


def test_dropout_that_c_cannot_add_is_pytorchs(native: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Native, "dropout_add", lambda self, *_, **__: 1 / 0)
    x = torch.randn(3, 18, dtype=torch.float64)
    for update in (x, x[:1]):
        for values in (x, x.bfloat16()):
            assert (
                Ops(native).dropout_add(values, update.to(values.dtype), 0.5, DropoutRNG()).shape == x.shape
            )
    assert Ops(native).dropout_add(x.float(), x.float()[:1], 0.5, DropoutRNG()).shape == x.shape
    assert Ops().dropout_add(x.float(), x.float(), 0.5, DropoutRNG()).shape == x.shape
    assert torch.equal(Ops(native).dropout_add(x.float(), x.float(), 0.0, DropoutRNG()), 2 * x.float())
    with pytest.raises(ZeroDivisionError):  # control
        Ops(native).dropout_add(x.float(), x.float(), 0.5, DropoutRNG())
