"""The engines compute what `translator.model` computes: values and every gradient (see parity.py)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from typing import Any

import pytest
import torch
from parity import (
    ACTIVATIONS,
    BFLOAT16_FACTOR,
    HEAD_WIDTHS,
    LENGTHS,
    NATIVE_TOLERANCE,
    NORMS,
    TOLERANCE,
    Case,
    backends,
    bfloat16_ratio,
    decoding_difference,
    dropout_difference,
    native_decoding_difference,
    training_difference,
)
from torch import Tensor

from translator.engine import cross_entropy, native_decoding, ops, reference, replicas
from translator.engine.backend import Backend
from translator.engine.decoding import DecodingEngine
from translator.engine.kv_cache import DecoderState
from translator.engine.native import Native, load_native
from translator.engine.native_decoding import NativeDecoder, Precision
from translator.engine.ops import Ops
from translator.engine.packing import PackedLayout
from translator.model.attention import KeyValue

#: Every norm with every activation; each width of head with some.
SHAPES = [
    Case(norm, activation, HEAD_WIDTHS[(i + j) % 3])
    for i, norm in enumerate(NORMS)
    for j, activation in enumerate(ACTIVATIONS)
]
EVERY_SHAPE = [
    Case(norm, activation, width) for norm in NORMS for activation in ACTIVATIONS for width in HEAD_WIDTHS
]
OTHER_SHAPES = [pytest.param(case, marks=pytest.mark.slow) for case in EVERY_SHAPE if case not in SHAPES]
EACH_SHAPE = pytest.mark.parametrize("case", [*SHAPES, *OTHER_SHAPES])
EACH_DTYPE = pytest.mark.parametrize("dtype", TOLERANCE)
needs_c = pytest.mark.skipif(load_native() is None, reason="the C operations were not built")


@EACH_DTYPE
@EACH_SHAPE
def test_training_is_that_of_the_reference(case: Case, dtype: torch.dtype) -> None:
    for lengths in LENGTHS:
        for backend in backends(dtype):
            for n_replicas in (1, 2):
                found = training_difference(replace(case, lengths=lengths), dtype, backend, n_replicas)
                assert found < TOLERANCE[dtype], (lengths, backend, n_replicas)


@EACH_DTYPE
@EACH_SHAPE
def test_with_dropout_it_is_that_of_the_reference_with_the_same_masks(case: Case, dtype: torch.dtype) -> None:
    for backend in backends(dtype):
        for of_weights in (0.0, 0.2):
            dropping = replace(case, dropout=0.2, attention_dropout=of_weights)
            assert dropout_difference(dropping, dtype, backend) < TOLERANCE[dtype], (backend, of_weights)


@EACH_DTYPE
@EACH_SHAPE
def test_decoding_is_that_of_the_reference(case: Case, dtype: torch.dtype) -> None:
    for lengths in LENGTHS:
        assert decoding_difference(replace(case, lengths=lengths), dtype) < TOLERANCE[dtype], lengths


@needs_c
@pytest.mark.parametrize("precision", NATIVE_TOLERANCE)
@EACH_SHAPE
def test_decoding_in_c_is_that_of_the_reference(case: Case, precision: Precision) -> None:
    """Float32 against float64; the lower precisions are near, and not equal by accident."""
    for lengths in LENGTHS if precision == "float32" else ["ragged"]:
        found = native_decoding_difference(replace(case, lengths=lengths), precision)
        assert found < NATIVE_TOLERANCE[precision], lengths
        assert precision == "float32" or found > NATIVE_TOLERANCE["float32"], lengths


@pytest.mark.parametrize("norm", NORMS)
def test_bfloat16_is_as_exact_as_the_reference_in_bfloat16(norm: str) -> None:
    """This and two replicas on native operations are the mode of the README's training figures."""
    for backend in backends(torch.float32):
        assert bfloat16_ratio(Case(norm), backend, n_replicas=2) < BFLOAT16_FACTOR, backend


#: Every shape in one way, so that any two choices occur together (`parity.py` goes through all of them).
WAYS = list(product(LENGTHS, backends(torch.float32), (1, 2)))
PAIRWISE = [(case, *WAYS[5 * i % len(WAYS)]) for i, case in enumerate(EVERY_SHAPE)]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "lengths", "backend", "n_replicas"), PAIRWISE)
def test_bfloat16_in_every_shape(case: Case, lengths: str, backend: Backend, n_replicas: int) -> None:
    assert bfloat16_ratio(replace(case, lengths=lengths), backend, n_replicas) < BFLOAT16_FACTOR


def test_any_two_choices_occur_together_in_bfloat16() -> None:
    rows = [(case.norm, case.activation, case.head_width, *way) for case, *way in PAIRWISE]
    choices = [NORMS, ACTIVATIONS, HEAD_WIDTHS, LENGTHS, backends(torch.float32), (1, 2)]
    for i, j in combinations(range(len(choices)), 2):
        assert {(row[i], row[j]) for row in rows} == set(product(choices[i], choices[j]))


# -- controls: one for each operation, spoilt; the harness has to see it ----------------------------------


def changed(function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *args, **options: change(function(*args, **options))


def exchange_key_and_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """Read values where keys are, and the other way round."""

    def spoilt(self: Any, query: Tensor, kv: Tensor, *args: Any, **options: Any) -> Any:
        return function(self, query, torch.cat(kv.chunk(2, 1)[::-1], 1), *args, **options)

    return spoilt


TRAINING = partial(training_difference, Case(), torch.float32)
DROPPING = partial(dropout_difference, Case(dropout=0.2), torch.float32)
SPOILT: dict[str, tuple[Any, str, Callable[[Any], Any], Callable[[], float]]] = {
    "varlen_attention": (Ops, "varlen_attention", exchange_key_and_value, partial(TRAINING, "torch", 1)),
    "layer_norm": (
        Ops,
        "layer_norm",
        lambda f: changed(f, lambda y: y * 1.001),
        partial(TRAINING, "torch", 1),
    ),
    "dropout_add": (
        Ops,
        "dropout_add",
        lambda f: lambda self, x, update, probability, rng: f(self, x, update * 1.001, probability, rng),
        partial(DROPPING, "torch"),
    ),
    "dropout": (Ops, "dropout", lambda f: changed(f, lambda x: x.relu()), partial(DROPPING, "torch")),
    "cross_entropy": (
        cross_entropy,
        "softmax_cross_entropy_",
        lambda f: lambda logits, targets, confidence: f(logits, targets, confidence - 0.001),
        partial(TRAINING, "torch", 1),
    ),
    "packing": (
        PackedLayout,
        "merge_heads",
        lambda f: changed(f, lambda rows: rows.roll(1, 0)),
        partial(TRAINING, "torch", 1),
    ),
    "attention of PyTorch": (
        ops,
        "scaled_dot_product_attention",
        lambda f: lambda q, k, v, mask: f(q, k, v, torch.ones_like(mask)),
        partial(TRAINING, "torch", 1),
    ),
    "replicas": (replicas, "_accumulate", lambda f: lambda gradients: None, partial(TRAINING, "torch", 2)),
    "reference": (
        reference.ReferenceTraining,
        "loss",
        lambda f: changed(f, lambda pair: (pair[0] * 1.001, pair[1])),
        partial(TRAINING, "torch", 1),
    ),
    "decoding": (
        DecoderState,
        "append",
        lambda f: changed(f, lambda kv: KeyValue(kv.key, kv.value.roll(1, 2))),
        partial(decoding_difference, Case(), torch.float32),
    ),
    "the encoder of decoding": (
        DecodingEngine,
        "encode",
        lambda f: changed(f, lambda memory: memory._replace(states=memory.states.roll(1, 1))),
        partial(decoding_difference, Case(), torch.float32),
    ),
    "reordering": (
        DecoderState,
        "reorder",
        lambda f: lambda self, sentences, parents: f(self, sentences, torch.zeros_like(parents)),
        partial(decoding_difference, Case(), torch.float32),
    ),
}
SPOILT_C: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "attention": ("attention", exchange_key_and_value),
    "attention, backward": (
        "attention_backward",
        lambda f: changed(f, lambda pair: (pair[0] * 1.001, pair[1])),
    ),
    "layer norm": ("layer_norm", lambda f: changed(f, lambda found: (found[0] * 1.001, *found[1:]))),
    "layer norm, backward": (
        "layer_norm_backward",
        lambda f: changed(f, lambda found: (*found[:2], torch.zeros_like(found[2]))),
    ),
    "cross-entropy": (
        "softmax_cross_entropy_",
        lambda f: lambda self, logits, targets, confidence: f(self, logits, targets, confidence - 0.001),
    ),
    "dropout": (
        "dropout_add",
        lambda f: lambda self, x, *args, **options: f(self, x, *args, **{**options, "seed": int(x is None)}),
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_control_a_spoilt_operation_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, spoil, look = SPOILT[name]
    assert look() < TOLERANCE[torch.float32]
    monkeypatch.setattr(owner, attribute, spoil(getattr(owner, attribute)))
    assert look() > 10 * TOLERANCE[torch.float32]


@needs_c
@pytest.mark.parametrize("name", SPOILT_C)
def test_control_a_spoilt_native_operation_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, spoil = SPOILT_C[name]
    look = partial(DROPPING if name == "dropout" else partial(TRAINING, n_replicas=1), "native")
    assert look() < TOLERANCE[torch.float32]
    monkeypatch.setattr(Native, attribute, spoil(getattr(Native, attribute)))
    assert look() > 10 * TOLERANCE[torch.float32]


def other_positions(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda weights, positions, shape: function(weights, positions * 1.001, shape)


def company_matters(function: Callable[..., Any]) -> Callable[..., Any]:
    def spoilt(self: Any, sources: Any, **options: Any) -> Any:
        results = function(self, sources, **options)
        return results if len(sources) == 1 else results[::-1]

    return spoilt


@needs_c
@pytest.mark.parametrize(
    ("owner", "attribute", "spoil"),
    [(native_decoding, "_tensors", other_positions), (NativeDecoder, "search", company_matters)],
)
def test_control_spoilt_decoding_in_c_is_seen(
    owner: Any, attribute: str, spoil: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native_decoding_difference(Case()) < NATIVE_TOLERANCE["float32"]
    monkeypatch.setattr(owner, attribute, spoil(getattr(owner, attribute)))
    assert native_decoding_difference(Case()) > 10 * NATIVE_TOLERANCE["float32"]


def test_control_a_lower_precision_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar of bfloat16 sees one operation in 8 bits."""

    def rounded(norm: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        return exact(Ops(), norm, x, dtype).to(torch.float8_e4m3fn).to(dtype)

    exact = Ops.layer_norm
    monkeypatch.setattr(Ops, "layer_norm", lambda self, *args: rounded(*args))
    assert bfloat16_ratio(Case(), "torch", 1) > BFLOAT16_FACTOR
