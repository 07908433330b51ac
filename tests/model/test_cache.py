"""Cached decoding gives the logits of uncached decoding, at every step, whatever happens to the batch."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from marks import needs_bfloat16
from torch import Tensor
from toy_model import SOURCE_IDS, VOCABULARY_SIZE, assert_differs, assert_same, options_for, toy_model

from translator.model import linear
from translator.model.cache import DecoderState
from translator.model.packed import PackedTransformer
from translator.model.transformer import Transformer
from translator.symbols import BOS, EOS

#: Sentences, numbered as in `SOURCE_IDS`, that go on after each step; then none is left.
GOING_ON = [[0, 1, 2, 3], [0, 2, 3], [0, 2, 3], [0, 3], [3], [3]]
W = 3

Reorder = Callable[[DecoderState, Tensor, Tensor], DecoderState]


def reorder(state: DecoderState, sentences: Tensor, parents: Tensor) -> DecoderState:
    """Do what a search does: (B',) sentences and (B', W) parents."""
    return state.select(sentences, parents)


def uncached(model: Transformer, source_ids: Tensor, history: Tensor) -> Tensor:
    """(B, S) sources and (B, W, T) tokens → (B, W, V) logits of the next token, all read anew."""
    repeated = source_ids.repeat_interleave(history.size(1), 0)
    return model(repeated, history.flatten(0, 1))[:, -1].unflatten(0, history.shape[:2])


def walk(model: Transformer, reorder: Reorder = reorder, **options: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Search at random and yield, at each step, cached and uncached logits, (B, W, V)."""
    generator = torch.Generator().manual_seed(3)
    decoder = PackedTransformer(model, **options)
    state = decoder.start(model.encode(SOURCE_IDS))
    numbers = list(range(len(SOURCE_IDS)))
    history = torch.full((len(numbers), 1, 1), BOS)  # (B, W, T)
    for going_on in GOING_ON:
        logits, state = decoder.step(history[..., -1], state)
        yield logits, uncached(model, SOURCE_IDS[numbers], history)
        sentences = torch.tensor([numbers.index(number) for number in going_on])
        parents = torch.randint(history.size(1), (len(sentences), W), generator=generator)
        state = reorder(state, sentences, parents)
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


def forget_parents(state: DecoderState, sentences: Tensor, parents: Tensor) -> DecoderState:
    own = torch.arange(W).clamp(max=state.descent.size(1) - 1)
    return reorder(state, sentences, own.expand(len(sentences), -1))


def mix_up_sources(state: DecoderState, sentences: Tensor, parents: Tensor) -> DecoderState:
    state = reorder(state, sentences, parents)
    return replace(state, cross=[kv.flip(0) for kv in state.cross])


def shift_positions(state: DecoderState, sentences: Tensor, parents: Tensor) -> DecoderState:
    return replace(reorder(state, sentences, parents), length=state.length + 1)


def look_at_padding(state: DecoderState, sentences: Tensor, parents: Tensor) -> DecoderState:
    return replace(reorder(state, sentences, parents), cross_bias=None)


def look_at_everyone(state: DecoderState, sentences: Tensor, parents: Tensor) -> DecoderState:
    state = reorder(state, sentences, parents)
    return replace(state, descent=torch.zeros_like(state.descent))


@pytest.mark.parametrize(
    "broken", [forget_parents, mix_up_sources, shift_positions, look_at_padding, look_at_everyone]
)
def test_control_a_broken_step_is_seen(broken: Reorder) -> None:
    steps = list(walk(toy_model(), broken))
    assert_same(*steps[0])  # nothing was reordered yet
    assert_differs(*steps[2])


def test_a_source_is_projected_and_kept_once() -> None:
    model = toy_model()
    decoder, memory = PackedTransformer(model), model.encode(SOURCE_IDS)
    state = decoder.start(memory)
    _, state = decoder.step(torch.full((len(SOURCE_IDS), 1), BOS), state)
    everything = torch.arange(len(SOURCE_IDS))
    state = state.select(everything, torch.zeros(len(SOURCE_IDS), W, dtype=torch.int64))
    projected = model.decoder.project(memory.states)
    for _ in range(2):
        _, state = decoder.step(torch.full((len(SOURCE_IDS), W), 5), state)
        assert len(state.cross) == len(projected) == 3
        for kept, expected in zip(state.cross, projected, strict=True):
            key, value = kept[:, :, : SOURCE_IDS.size(1)].chunk(2, 1)
            assert_same(key, expected.key)
            assert_same(value, expected.value)
    assert state.length == 3
    assert state.past[0].shape == (len(SOURCE_IDS), 6, 1 + 2 * W, 4)  # (B, 2 H, K, E)


@pytest.mark.parametrize("n_positions", [1, 8, 9, 15, 16, 17])
def test_padding_a_source_further_changes_nothing(n_positions: int) -> None:
    model = toy_model()
    decoder = PackedTransformer(model)
    source_ids = torch.full((2, n_positions), EOS)
    source_ids[:, :-1] = 5
    state = decoder.start(model.encode(source_ids))
    assert state.cross[0].size(2) == {8: 16, 9: 16, 15: 16}.get(n_positions, n_positions)
    logits, _ = decoder.step(torch.full((2, 1), BOS), state)
    assert_same(logits, uncached(model, source_ids, torch.full((2, 1, 1), BOS)))


TOKENS = torch.tensor([[BOS, 7], [BOS, 8], [BOS, 9], [BOS, 7]])


def test_a_state_is_a_value() -> None:
    model = toy_model()
    decoder = PackedTransformer(model)
    _, state = decoder.step(TOKENS[:, :1], decoder.start(model.encode(SOURCE_IDS)))
    first, after_first = decoder.step(TOKENS[:, 1:], state)
    other, _ = decoder.step(TOKENS[:, 1:] + 1, state)
    again, after_again = decoder.step(TOKENS[:, 1:], state)
    assert torch.equal(first, again)
    assert_differs(other, first)
    assert torch.equal(
        decoder.step(TOKENS[:, 1:], after_first)[0], decoder.step(TOKENS[:, 1:], after_again)[0]
    )


@torch.no_grad()
@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=needs_bfloat16), "int8"])
def test_a_lower_precision_is_near(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MANY_ROWS", 1)
    monkeypatch.setattr(linear, "MANY_OUTPUTS", VOCABULARY_SIZE)
    model = toy_model().float()
    for cached, expected in walk(model, precision=precision):
        assert cached.dtype == torch.float32
        error = (cached - expected).norm() / expected.norm()
        assert 1e-4 < error < 0.2  # it is not float32 that was used


def test_packed_weights_multiply_as_plain_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MANY_ROWS", 1)
    model = toy_model().float()
    for cached, expected in walk(model):
        assert_same(cached, expected, 1e-5)


def test_float32_is_close_enough() -> None:
    model = toy_model().float()
    for cached, expected in walk(model):
        assert cached.dtype == torch.float32
        assert_same(cached, expected, 1e-5)
