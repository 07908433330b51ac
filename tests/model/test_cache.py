"""Cached decoding gives the logits of uncached decoding, at every step, whatever happens to the batch."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toy_model import SOURCE_IDS, VOCABULARY_SIZE, assert_differs, assert_same, options_for, toy_model

from translator.model import transformer
from translator.model.cache import DecoderState
from translator.model.masks import causal_keep
from translator.model.transformer import Transformer
from translator.symbols import BOS

#: Sentences, numbered as in `SOURCE_IDS`, that go on after each step; then none is left.
GOING_ON = [[0, 1, 2, 3], [0, 2, 3], [0, 2, 3], [0, 3], [3], [3]]
W = 3

Reorder = Callable[[DecoderState, Tensor, Tensor, Tensor], DecoderState]


def reorder(state: DecoderState, sentences: Tensor, parents: Tensor, rows: Tensor) -> DecoderState:
    """Do what a search does: (B',) sentences, (B', W) parents and the same as (B' · W,) rows."""
    return state.select_rows(rows).select_sentences(sentences)


def uncached(model: Transformer, source_ids: Tensor, history: Tensor) -> Tensor:
    """(B, S) sources and (B, W, T) tokens → (B · W, V) logits of the next token, all read anew."""
    repeated = source_ids.repeat_interleave(history.size(1), 0)
    return model(repeated, history.flatten(0, 1))[:, -1]


def walk(model: Transformer, reorder: Reorder = reorder) -> Iterator[tuple[Tensor, Tensor]]:
    """Search at random and yield, at each step, cached and uncached logits, (N, V)."""
    generator = torch.Generator().manual_seed(3)
    state = model.start(model.encode(SOURCE_IDS))
    numbers = list(range(len(SOURCE_IDS)))
    history = torch.full((len(numbers), 1, 1), BOS)  # (B, W, T)
    for going_on in GOING_ON:
        logits, state = model.step(history[..., -1:].flatten(0, 1), state)
        yield logits, uncached(model, SOURCE_IDS[numbers], history)
        n_hypotheses = history.size(1)
        sentences = torch.tensor([numbers.index(number) for number in going_on])
        parents = torch.randint(n_hypotheses, (len(sentences), W), generator=generator)
        rows = (sentences[:, None] * n_hypotheses + parents).flatten()
        state = reorder(state, sentences, parents, rows)
        tokens = torch.randint(4, VOCABULARY_SIZE, (len(sentences), W, 1), generator=generator)
        history = torch.cat([history.flatten(0, 1)[rows].unflatten(0, (-1, W)), tokens], 2)
        numbers = going_on


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_cached_is_uncached_through_reordering_and_leaving(norm: str) -> None:
    n_steps = 0
    for cached, expected in walk(toy_model(options_for(norm))):
        assert_same(cached, expected)
        n_steps += 1
    assert n_steps == len(GOING_ON)


def forget_parents(state: DecoderState, sentences: Tensor, parents: Tensor, rows: Tensor) -> DecoderState:
    n_hypotheses = 1 if state.length == 1 else W
    own = torch.arange(W).clamp(max=n_hypotheses - 1)
    return reorder(state, sentences, parents, (sentences[:, None] * n_hypotheses + own).flatten())


def mix_up_sources(state: DecoderState, sentences: Tensor, parents: Tensor, rows: Tensor) -> DecoderState:
    return reorder(state, sentences.flip(0), parents, rows)


def shift_positions(state: DecoderState, sentences: Tensor, parents: Tensor, rows: Tensor) -> DecoderState:
    return replace(reorder(state, sentences, parents, rows), length=state.length + 1)


def look_at_padding(state: DecoderState, sentences: Tensor, parents: Tensor, rows: Tensor) -> DecoderState:
    state = reorder(state, sentences, parents, rows)
    return replace(state, cross_keep=torch.ones_like(state.cross_keep))


@pytest.mark.parametrize("broken", [forget_parents, mix_up_sources, shift_positions, look_at_padding])
def test_control_a_broken_step_is_seen(broken: Reorder) -> None:
    steps = list(walk(toy_model(), broken))
    assert_same(*steps[0])  # nothing was reordered yet
    assert_differs(*steps[2])


def test_a_source_is_projected_and_kept_once() -> None:
    model = toy_model()
    memory = model.encode(SOURCE_IDS)
    state = model.start(memory)
    rows = torch.arange(len(SOURCE_IDS)).repeat_interleave(W)
    _, state = model.step(torch.full((len(SOURCE_IDS), 1), BOS), state)
    state = state.select_rows(rows)
    projected = model.decoder.project(memory.states)
    for _ in range(2):
        _, state = model.step(torch.full((len(rows), 1), 5), state)
        assert len(state.cross) == len(projected) == 3
        for kept, expected in zip(state.cross, projected, strict=True):
            assert kept.key.size(0) == len(SOURCE_IDS)
            assert torch.equal(kept.key, expected.key)
            assert torch.equal(kept.value, expected.value)
    assert state.length == 3
    assert state.past[0].key.shape == (len(rows), 3, 3, 4)  # (N, H, T, E)


def prefix_then_rest(model: Transformer, tokens: Tensor, n_at_once: int) -> list[Tensor]:
    """Read the first tokens at once and the others one by one; return the logits from there on."""
    state = model.start(model.encode(SOURCE_IDS))
    logits, state = model.step(tokens[:, :n_at_once], state)
    found = [logits]
    for i in range(n_at_once, tokens.size(1)):
        logits, state = model.step(tokens[:, i : i + 1], state)
        found.append(logits)
    return found


TOKENS = torch.tensor([[BOS, 7, 8, 9, 5], [BOS, 7, 8, 9, 6], [BOS, 7, 8, 9, 7], [BOS, 7, 8, 9, 5]])


@pytest.mark.parametrize("n_at_once", [2, 4, 5])
def test_prefix_at_once_is_prefix_token_by_token(n_at_once: int) -> None:
    model = toy_model()
    one_by_one = prefix_then_rest(model, TOKENS, 1)
    at_once = prefix_then_rest(model, TOKENS, n_at_once)
    assert len(at_once) == 6 - n_at_once
    for actual, expected in zip(at_once, one_by_one[n_at_once - 1 :], strict=True):
        assert_same(actual, expected)


def test_control_a_prefix_that_sees_its_future_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_model()
    expected = prefix_then_rest(model, TOKENS, 1)[3:]
    monkeypatch.setattr(transformer, "causal_keep", lambda n, device: torch.ones_like(causal_keep(n)))
    assert_differs(prefix_then_rest(model, TOKENS, 4)[0], expected[0])


def test_a_state_is_a_value() -> None:
    model = toy_model()
    _, state = model.step(TOKENS[:, :1], model.start(model.encode(SOURCE_IDS)))
    first, _ = model.step(TOKENS[:, 1:2], state)
    other, _ = model.step(TOKENS[:, 4:5], state)
    again, _ = model.step(TOKENS[:, 1:2], state)
    assert torch.equal(first, again)
    assert_differs(other, first)


def test_float32_is_close_enough() -> None:
    model = toy_model().float()
    for cached, expected in walk(model):
        assert cached.dtype == torch.float32
        assert_same(cached, expected, 1e-5)
