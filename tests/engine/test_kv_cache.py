"""Cached decoding gives the logits of uncached decoding, at every step, whatever happens to the batch."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from toy_model import SOURCE_IDS, VOCABULARY_SIZE, assert_differs, assert_same, options_for, toy_model

from translator.engine.decoding import DecodingEngine
from translator.engine.kv_cache import DecoderState
from translator.model.attention import KeyValue
from translator.model.transformer import Transformer
from translator.symbols import BOS

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


def walk(
    model: Transformer, reorder: Reorder = reorder, *, bfloat16: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Search at random and yield, at each step, cached and uncached logits, (B, W, V)."""
    generator = torch.Generator().manual_seed(3)
    decoder = DecodingEngine(model, bfloat16=bfloat16)
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
    n_hypotheses = len(state.past[0].key) // len(state.mask)
    own = torch.arange(W).clamp(max=n_hypotheses - 1)
    reorder(state, sentences, own.expand(len(sentences), -1))


def mix_up_sources(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.cross = [KeyValue(kv.key.flip(0), kv.value.flip(0)) for kv in state.cross]


def mix_up_pasts(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.past = [KeyValue(kv.key.flip(0), kv.value.flip(0)) for kv in state.past]


def shift_positions(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.length += 1


def look_at_padding(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.mask = torch.ones_like(state.mask)


def forget_the_newest(state: DecoderState, sentences: Tensor, parents: Tensor) -> None:
    reorder(state, sentences, parents)
    state.past = [KeyValue(kv.key[:, :, :-1], kv.value[:, :, :-1]) for kv in state.past]


@pytest.mark.parametrize(
    "broken",
    [forget_parents, mix_up_sources, mix_up_pasts, shift_positions, look_at_padding, forget_the_newest],
)
def test_control_a_broken_step_is_seen(broken: Reorder) -> None:
    steps = list(walk(toy_model(), broken))
    assert_same(*steps[0])  # nothing was reordered yet
    assert_differs(*steps[2])


def test_a_source_is_projected_and_kept_once() -> None:
    model = toy_model()
    decoder, memory = DecodingEngine(model), model.encode(SOURCE_IDS)
    state, n = decoder.start(memory), len(SOURCE_IDS)
    decoder.step(torch.full((n, 1), BOS), state)
    state.reorder(torch.arange(n), torch.zeros(n, W, dtype=torch.int64))
    kept, projected = state.cross, model.decoder.project(memory.states)
    for _ in range(2):
        decoder.step(torch.full((n, W), 5), state)
        state.reorder(torch.arange(n), torch.zeros(n, W, dtype=torch.int64))
        assert state.cross is kept
    assert len(kept) == len(projected) == 3
    for own, expected in zip(kept, projected, strict=True):
        assert_same(own.key, expected.key)
        assert_same(own.value, expected.value)
    assert state.length == 3
    assert {part.size(2) for kv in state.past for part in kv} == {3}
    assert {part.size(0) for kv in state.past for part in kv} == {n * W}


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
        decoder.step(tokens.flip(0)[: len(other.mask)] + 1, other)
        going_on = torch.arange(1, len(other.mask))
        other.reorder(going_on, torch.zeros(len(going_on), 1, dtype=torch.int64))
    assert [torch.equal(a, b) for a, b in zip(found, expected, strict=True)] == [True] * 3


@torch.no_grad()
def test_bfloat16_is_near() -> None:
    for cached, expected in walk(toy_model().float(), bfloat16=True):
        error = (cached.float() - expected).norm() / expected.norm()
        assert 1e-4 < error < 0.2  # it is not float32 that was used


def test_float32_is_close_enough() -> None:
    model = toy_model().float()
    for cached, expected in walk(model):
        assert cached.dtype == torch.float32
        assert_same(cached, expected, 1e-5)
