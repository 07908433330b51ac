"""Cached decoding gives the logits of uncached decoding, at every step, whatever happens to the batch."""

from collections.abc import Callable, Iterator

import pytest
import torch
from marks import needs_bfloat16
from torch import Tensor
from toy_model import SOURCE_IDS, VOCABULARY_SIZE, assert_differs, assert_same, options_for, toy_model

from translator.engine import quantized
from translator.engine.decoding import DecodingEngine, as_bias
from translator.engine.kv_cache import DecoderState
from translator.model.attention import KeyValue
from translator.model.transformer import Transformer
from translator.symbols import BOS, EOS

#: Sentences, numbered as in `SOURCE_IDS`, that go on after each step, the last where one has left.
GOING_ON = [[0, 1, 2, 3], [0, 3, 2], [0, 3, 2], [2, 0], [0], [0]]
W = 3

Reorder = Callable[[DecoderState, Tensor, Tensor], None]


def reorder(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    """Do what a search does: (B',) sentences and (B', W) parents."""
    state.reorder(sentences, parents)


def uncached(model: Transformer, source_ids: Tensor, history: Tensor) -> Tensor:
    """(B, S) sources and (B, W, T) tokens → (B, W, V) logits of the next token, all read anew."""
    repeated = source_ids.repeat_interleave(history.size(1), 0)
    return model(repeated, history.flatten(0, 1))[:, -1].unflatten(0, history.shape[:2])


def walk(model: Transformer, reorder: Reorder = reorder, **options: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Search at random and yield, at each step, cached and uncached logits, (B, W, V)."""
    generator = torch.Generator().manual_seed(3)
    decoder = DecodingEngine(model, **options)
    state = decoder.start(model.encode(SOURCE_IDS))
    numbers = list(range(len(SOURCE_IDS)))
    history = torch.full((len(numbers), 1, 1), BOS)  # (B, W, T)
    for going_on in GOING_ON:
        logits = decoder.step(history[..., -1], state)
        yield logits, uncached(model, SOURCE_IDS[numbers], history)
        sentences = torch.tensor([numbers.index(number) for number in going_on])
        parents = torch.randint(history.size(1), (len(sentences), W), generator=generator)
        reorder(state, sentences, parents)
        tokens = torch.randint(4, VOCABULARY_SIZE, (len(sentences), W, 1), generator=generator)
        history = torch.cat([history[sentences[:, None], parents], tokens], 2)
        numbers = going_on


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_cached_is_uncached_through_reordering_and_leaving(norm: str) -> None:
    n_steps = 0
    for cached, expected in walk(toy_model(options_for(norm))):
        assert_same(cached, expected)
        n_steps += 1
    assert n_steps == len(GOING_ON)


def test_decoding_goes_on_beyond_the_table_of_positions() -> None:
    assert len(GOING_ON) > 3
    for cached, expected in walk(toy_model(max_length=3)):
        assert_same(cached, expected)


def forget_parents(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    own = torch.arange(W).clamp(max=state.ancestor_bias.size(1) - 1)
    reorder(state, sentences, own.expand(len(sentences), -1))


def mix_up_sources(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.cross_kv = [KeyValue(kv.key.flip(0), kv.value.flip(0)) for kv in state.cross_kv]


def mix_up_pasts(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.self_kv = [kv.flip(0) for kv in state.self_kv]


def shift_positions(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.length += 1


def look_at_padding(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.cross_bias = None


def look_at_everyone(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.ancestor_bias = torch.zeros_like(state.ancestor_bias)


@pytest.mark.parametrize(
    "broken",
    [forget_parents, mix_up_sources, mix_up_pasts, shift_positions, look_at_padding, look_at_everyone],
)
def test_control_a_broken_step_is_seen(broken: Reorder) -> None:
    steps = list(walk(toy_model(), broken))
    assert_same(*steps[0])  # nothing was reordered yet
    assert_differs(*steps[2])


def test_a_source_is_projected_and_kept_once() -> None:
    model = toy_model()
    decoder, memory = DecodingEngine(model), model.encode(SOURCE_IDS)
    state = decoder.start(memory)
    decoder.step(torch.full((len(SOURCE_IDS), 1), BOS), state)
    everything = torch.arange(len(SOURCE_IDS))
    state.reorder(everything, torch.zeros(len(SOURCE_IDS), W, dtype=torch.int64))
    projected = model.decoder.project(memory.states)
    for _ in range(2):
        decoder.step(torch.full((len(SOURCE_IDS), W), 5), state)
        assert len(state.cross_kv) == len(projected) == 3
        for kept, expected in zip(state.cross_kv, projected, strict=True):
            assert_same(kept.key[:, :, : SOURCE_IDS.size(1)], expected.key)
            assert_same(kept.value[:, :, : SOURCE_IDS.size(1)], expected.value)
    assert (state.length, state.n_keys) == (3, 1 + 2 * W)
    n_room = state.self_kv[0].size(2)
    assert state.ancestor_bias.shape == (len(SOURCE_IDS), W, n_room)
    assert state.ancestor_bias[:, :, state.n_keys :].eq(-torch.inf).all()


@pytest.mark.parametrize("n_positions", [1, 8, 9, 15, 16, 17])
def test_padding_a_source_further_changes_nothing(n_positions: int) -> None:
    model = toy_model()
    decoder = DecodingEngine(model)
    source_ids = torch.full((2, n_positions), EOS)
    source_ids[:, :-1] = 5
    state = decoder.start(model.encode(source_ids))
    assert state.cross_kv[0].key.size(2) == {8: 16, 9: 16, 15: 16}.get(n_positions, n_positions)
    logits = decoder.step(torch.full((2, 1), BOS), state)
    assert_same(logits, uncached(model, source_ids, torch.full((2, 1, 1), BOS)))


def test_one_model_serves_many_searches() -> None:
    model = toy_model()
    decoder, memory = DecodingEngine(model), model.encode(SOURCE_IDS)
    n = len(SOURCE_IDS)
    alone, beside, other = (decoder.start(memory) for _ in range(3))
    steps = [torch.full((n, 1), token) for token in (BOS, 7, 9)]
    expected = [decoder.step(tokens, alone) for tokens in steps]
    found = []
    for tokens in steps:
        found.append(decoder.step(tokens, beside))
        decoder.step(tokens.flip(0)[: len(other.ancestor_bias)] + 1, other)
        going_on = torch.arange(1, len(other.ancestor_bias))
        other.reorder(going_on, torch.zeros(len(going_on), 1, dtype=torch.int64))
    assert [torch.equal(a, b) for a, b in zip(found, expected, strict=True)] == [True] * 3


@torch.no_grad()
@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=needs_bfloat16), "int8"])
def test_a_lower_precision_is_near(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "MANY_ROWS", 1)
    monkeypatch.setattr(quantized, "MANY_OUTPUTS", VOCABULARY_SIZE)
    model = toy_model().float()
    for cached, expected in walk(model, precision=precision):
        assert cached.dtype == torch.float32
        error = (cached - expected).norm() / expected.norm()
        assert 1e-4 < error < 0.2  # it is not float32 that was used


def test_packed_weights_multiply_as_plain_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "MANY_ROWS", 1)
    model = toy_model().float()
    for cached, expected in walk(model):
        assert_same(cached, expected, 1e-5)


def test_a_bias_says_the_same_as_its_mask() -> None:
    assert as_bias(torch.tensor([[True, False]]), torch.float64).tolist() == [[0.0, -torch.inf]]
    assert as_bias(torch.tensor([True]), torch.float32).dtype == torch.float32


def test_float32_is_close_enough() -> None:
    model = toy_model().float()
    for cached, expected in walk(model):
        assert cached.dtype == torch.float32
        assert_same(cached, expected, 1e-5)
