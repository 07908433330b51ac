"""The whole model: what may not change its answer, how it begins, its attention maps."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_model import (
    OPTIONS,
    SOURCE_IDS,
    TARGET_IN,
    VOCABULARY_SIZE,
    assert_differs,
    assert_same,
    options_for,
    toy_model,
)

from translator.building import n_parameters
from translator.engine.decoding import DecodingEngine
from translator.engine.runtime import device_of
from translator.model import Transformer
from translator.model.attention import Attention, KeyValue
from translator.model.initialisation import initialise
from translator.model.layers import LayerOptions
from translator.model.positions import sinusoids
from translator.symbols import PAD, UNK

# --- Invariance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("n_more", [1, 5])
def test_padding_changes_nothing(norm: str, n_more: int) -> None:
    model = toy_model(options_for(norm))
    expected, length = model(SOURCE_IDS, TARGET_IN), TARGET_IN.size(1)
    source_ids, target_in = F.pad(SOURCE_IDS, (0, n_more)), F.pad(TARGET_IN, (0, n_more))
    assert_same(model(source_ids, TARGET_IN), expected)
    assert_same(model(SOURCE_IDS, target_in)[:, :length], expected)
    # Control: any other piece in its place does.
    assert_differs(model(source_ids.masked_fill(source_ids == PAD, UNK), TARGET_IN), expected)


def test_a_sentence_does_not_depend_on_its_company() -> None:
    model = toy_model()
    expected = model(SOURCE_IDS, TARGET_IN)
    for row, (source, target) in enumerate(zip(SOURCE_IDS, TARGET_IN, strict=True)):
        alone = model(source[source != PAD][None], target[target != PAD][None])[0]
        assert_same(alone, expected[row, : len(alone)])
        assert_differs(alone, expected[row - 1, : len(alone)])


def test_permuting_the_batch_permutes_the_answer() -> None:
    model, order = toy_model(), torch.tensor([2, 0, 3, 1])
    permuted, expected = model(SOURCE_IDS[order], TARGET_IN[order]), model(SOURCE_IDS, TARGET_IN)
    assert_same(permuted, expected[order])
    assert_differs(permuted, expected)


@pytest.mark.parametrize("changed", range(1, TARGET_IN.size(1)))
def test_the_future_changes_nothing_earlier(changed: int) -> None:
    model, other = toy_model(), TARGET_IN.clone()
    other[:, changed:] = 9
    actual, expected = model(SOURCE_IDS, other), model(SOURCE_IDS, TARGET_IN)
    assert_same(actual[:, :changed], expected[:, :changed])
    assert_differs(actual[:, changed:], expected[:, changed:])


def test_every_source_token_reaches_the_first_target_token() -> None:
    model, expected = toy_model(), toy_model()(SOURCE_IDS, TARGET_IN)
    for place in range(SOURCE_IDS.size(1)):
        source_ids = SOURCE_IDS.clone()
        source_ids[0, place] = 15
        actual = model(source_ids, TARGET_IN)
        assert_differs(actual[:1, :1], expected[:1, :1])
        assert_same(actual[1:], expected[1:])


# --- Beginning ----------------------------------------------------------------------------------------


def not_finite(module: nn.Module) -> list[str]:
    return [name for name, value in module.named_parameters() if not value.isfinite().all()]


def test_initialise_sets_every_parameter() -> None:
    model = Transformer(30, OPTIONS, n_encoder_layers=2, n_decoder_layers=2)
    model.stray = nn.Parameter(torch.zeros(2))  # control: one that no rule covers
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    assert len(not_finite(model)) == len(list(model.parameters()))
    initialise(model)
    assert not_finite(model) == ["stray"]


@pytest.mark.parametrize("memory_width", [64, 48])
def test_keys_and_values_begin_with_a_range_of_their_own(memory_width: int) -> None:
    torch.manual_seed(1)
    attention = Attention(64, 4, memory_width=memory_width)
    initialise(attention)

    def bound(n_in: int, n_out: int) -> float:
        return math.sqrt(6 / (n_in + n_out))

    # Of 3,072 uniform values or more the greatest is within 1 % of the bound, but for one time in 10^13.
    halves = attention.key_value.weight.chunk(2)
    for weight in [*halves, attention.query.weight, attention.output.weight]:
        own = bound(weight.size(1), 64)
        assert 0.99 * own < weight.abs().max() <= own
    # Control: as one joint map they would have begun smaller.
    assert bound(memory_width, 128) < 0.9 * bound(memory_width, 64)


def test_initial_scale_of_everything_else() -> None:
    torch.manual_seed(1)
    model = Transformer(500, replace(OPTIONS, width=64, n_heads=4), n_encoder_layers=1, n_decoder_layers=1)
    scaled = model.embedding.weight * 8
    assert abs(scaled.mean().item()) < 5 / 32000**0.5
    assert abs(scaled.var().item() - 1) < 5 * (2 / 32000) ** 0.5
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            assert value.eq(0).all()
        elif "norm" in name:
            assert value.eq(1).all()


BIGGER = LayerOptions(width=64, n_heads=4, feed_forward=128)


def first_loss(model: Transformer) -> Tensor:
    ids = torch.randint(4, model.embedding.num_embeddings, (16, 21))
    logits = model(ids, ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_first_loss_is_that_of_a_guess(norm: str) -> None:
    torch.manual_seed(1)
    model = Transformer(1000, replace(BIGGER, norm=norm), n_encoder_layers=2, n_decoder_layers=2)
    guess = math.log(1000) + 0.5  # logits of variance one add half of it
    assert first_loss(model).item() == pytest.approx(guess, abs=0.3)
    # Control: embeddings that begin at the scale of nn.Embedding.
    nn.init.normal_(model.embedding.weight)
    assert first_loss(model).item() > guess + 5


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_every_parameter_gets_a_gradient(norm: str, activation: str) -> None:
    torch.manual_seed(1)
    options = replace(BIGGER, norm=norm, activation=activation)
    model = Transformer(100, options, n_encoder_layers=2, n_decoder_layers=2)
    model.spare = nn.Linear(2, 2)  # control: one that nothing uses
    first_loss(model).backward()
    without = [name for name, value in model.named_parameters() if value.grad is None]
    assert without == ["spare.weight", "spare.bias"]
    del model.spare
    for name, value in model.named_parameters():
        assert value.grad.isfinite().all(), name
        # Keys and values lie in one tensor; a bias of all keys alike never changes a softmax.
        joint = name.endswith("key_value.weight")
        assert all(part.ne(0).any() for part in value.grad.chunk(2 if joint else 1)), name


def test_one_embedding_is_used_three_ways() -> None:
    model = toy_model()
    assert [v.shape for v in model.state_dict().values()].count((VOCABULARY_SIZE, OPTIONS.width)) == 1
    source_ids, target_in = torch.tensor([[4, 5]]), torch.tensor([[2, 6]])
    before = model.encode(source_ids).states, model(source_ids, target_in)

    def after_changing(piece: int) -> tuple[Tensor, Tensor]:
        changed = toy_model()
        changed.embedding.weight.data[piece, 0] += 1e-3
        return changed.encode(source_ids).states, changed(source_ids, target_in)

    states, logits = after_changing(5)  # in the source
    assert_differs(states, before[0])
    others = [i for i in range(VOCABULARY_SIZE) if i not in (5, 6, 9)]
    assert_differs(logits[..., others], before[1][..., others])
    states, logits = after_changing(6)  # in the target
    assert_same(states, before[0])
    assert_differs(logits[0, 1, others], before[1][0, 1, others])
    states, logits = after_changing(9)  # in neither: its own logit alone
    assert_same(states, before[0])
    assert_same(logits[..., others], before[1][..., others])
    assert_differs(logits[..., 9], before[1][..., 9])


def test_parameters_are_counted_once() -> None:
    model = toy_model()  # two encoder and three decoder layers
    width, inner = OPTIONS.width, OPTIONS.feed_forward
    attention, norm = 4 * (width * width + width), 2 * width
    feed_forward = 2 * width * inner + width + inner
    layers = 2 * (attention + feed_forward + 2 * norm) + 3 * (2 * attention + feed_forward + 3 * norm)
    assert n_parameters(model) == VOCABULARY_SIZE * width + layers + 2 * norm


def test_positions_are_no_part_of_the_weights() -> None:
    model = toy_model()
    assert "positions" not in model.state_dict()
    assert dict(model.named_buffers()).keys() == {"positions"}
    assert device_of(model) == torch.device("cpu")


# --- Attention maps -----------------------------------------------------------------------------------


def recomputed_maps(run: Callable[[], object], model: Transformer) -> dict[str, Tensor]:
    """Return each attention's weights while `run` runs, recomputed from what the attention read."""
    maps: dict[str, Tensor] = {}

    def remember(name: str) -> Callable[[Attention, tuple[Tensor, KeyValue, Tensor]], None]:
        def hook(attention: Attention, inputs: tuple[Tensor, KeyValue, Tensor]) -> None:
            query, kv, mask = inputs
            q = attention.query(query).unflatten(2, (attention.n_heads, -1))
            scores = torch.einsum("bqhe,bhke->bhqk", q, kv.key) / q.size(-1) ** 0.5
            likely = scores.exp() * mask
            maps[name] = likely / likely.sum(-1, keepdim=True)

        return hook

    hooks = [
        module.register_forward_pre_hook(remember(name))
        for name, module in model.named_modules()
        if isinstance(module, Attention)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return maps


def test_attention_maps_are_those_of_the_forward_pass() -> None:
    model = toy_model()
    encoder, decoder = model.attention_maps(SOURCE_IDS, TARGET_IN)
    (n, s), t, heads = SOURCE_IDS.shape, TARGET_IN.size(1), OPTIONS.n_heads
    assert [x.shape for x in encoder.self_attention] == [(n, heads, s, s)] * 2
    assert encoder.cross_attention == []
    assert [x.shape for x in decoder.self_attention] == [(n, heads, t, t)] * 3
    assert [x.shape for x in decoder.cross_attention] == [(n, heads, t, s)] * 3
    named = {
        **{f"encoder.layers.{i}.self_attention": x for i, x in enumerate(encoder.self_attention)},
        **{f"decoder.layers.{i}.self_attention": x for i, x in enumerate(decoder.self_attention)},
        **{f"decoder.layers.{i}.cross_attention": x for i, x in enumerate(decoder.cross_attention)},
    }
    expected = recomputed_maps(lambda: model(SOURCE_IDS, TARGET_IN), model)
    other = toy_model(seed=1)
    unlike = recomputed_maps(lambda: other(SOURCE_IDS, TARGET_IN), other)
    assert expected.keys() == named.keys()
    for name, weights in named.items():
        assert weights.dtype == torch.float64
        assert_same(weights, expected[name])
        assert_same(weights.sum(-1), torch.ones_like(weights[..., 0]))
        assert_differs(weights, unlike[name])  # control: another model's


def test_attention_maps_hide_padding_and_future() -> None:
    encoder, decoder = toy_model().attention_maps(SOURCE_IDS, TARGET_IN)
    padding = SOURCE_IDS == PAD
    for weights in [*encoder.self_attention, *decoder.cross_attention]:
        assert weights.permute(0, 3, 1, 2)[padding].eq(0).all()
        assert weights.permute(0, 3, 1, 2)[~padding].gt(0).all()
    for weights in decoder.self_attention:
        assert torch.equal(weights, weights.tril())
        assert weights.diagonal(dim1=2, dim2=3).gt(0).all()


def test_attention_maps_keep_the_dtype() -> None:
    encoder, decoder = toy_model().float().attention_maps(SOURCE_IDS, TARGET_IN)
    maps = [*encoder.self_attention, *decoder.self_attention, *decoder.cross_attention]
    assert {weights.dtype for weights in maps} == {torch.float32}


# --- Devices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_shapes_on_another_device(training: bool) -> None:
    # The meta device computes shapes alone, through the same branches as CUDA.
    model = toy_model(replace(OPTIONS, dropout=0.1, attention_dropout=0.1)).to("meta").train(training)
    logits = model(SOURCE_IDS.to("meta"), TARGET_IN.to("meta"))
    assert logits.device.type == "meta"
    assert logits.shape == (*TARGET_IN.shape, VOCABULARY_SIZE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_cuda_agrees_with_the_cpu(norm: str) -> None:
    model = toy_model(options_for(norm)).float()
    expected = model(SOURCE_IDS, TARGET_IN)
    model.cuda()
    decoder = DecodingEngine(model)
    first = decoder.step(TARGET_IN[:, :1].cuda(), decoder.start(model.encode(SOURCE_IDS.cuda())))
    assert_same(first.cpu()[:, 0], expected[:, 0], 1e-4)
    actual = model(SOURCE_IDS.cuda(), TARGET_IN.cuda()).cpu()
    assert_same(actual, expected, 1e-4)
    assert_differs(actual.roll(1, 0), expected, 1e-4)


def test_positions_have_the_base_asked_for_at_any_length() -> None:
    model = Transformer(
        VOCABULARY_SIZE, OPTIONS, n_encoder_layers=1, n_decoder_layers=1, max_length=8, position_base=50.0
    )
    for length in (5, 20):  # tabulated, and beyond
        table = model.position_table(length)[:length]
        assert_same(
            table[:, 1].double(), torch.arange(length).div(50 ** (2 / OPTIONS.width)).sin().double(), 1e-5
        )
        assert_differs(table, sinusoids(length, OPTIONS.width))
