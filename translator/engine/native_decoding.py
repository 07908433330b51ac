"""Decoding in C: a whole search in one call. This module does not import torch.

`csrc/decoder.c` computes what `translator.model` defines, and `csrc/search.c` searches by the rules of
`translator.search`. Every sum has one fixed order, so the result for a sentence does not depend on the
sentences that are decoded with it.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from ctypes import (
    CFUNCTYPE, POINTER, Structure, byref, c_double, c_float, c_int, c_int32, c_int64, c_long, c_void_p,
)  # fmt: skip
from itertools import accumulate, chain
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
ACTIVATIONS = ("none", "relu", "gelu", "silu")
_DONE, _STOPPED, _NO_MEMORY, _NOT_FINITE = range(4)

#: A function that returns the log-probabilities of the next token, (V,), after some tokens of a sentence.
Table = Callable[[int, list[int]], NDArray[np.float32]]
_C_TABLE = CFUNCTYPE(None, c_long, c_long, POINTER(c_int32), POINTER(c_float))


class _Sizes(Structure):
    """Mirror of `sizes` in `decoder.h`."""

    _fields_ = [
        *((name, c_long) for name in ("vocabulary", "width", "n_heads", "feed_forward")),
        *((name, c_long) for name in ("n_encoder_layers", "n_decoder_layers", "n_positions")),
        *((name, c_int) for name in ("pre_norm", "activation", "precision")),
        ("epsilon", c_float),
    ]


class _Request(Structure):
    """Mirror of `request` in `search.c`."""

    _fields_ = [
        *((name, c_long) for name in ("n_sentences", "beam_size", "n_best", "n_forbidden", "max_length")),
        ("length_penalty", c_double),
        *((name, c_void_p) for name in ("sources", "prefixes", "forbidden")),
        *((name, c_void_p) for name in ("source_ends", "prefix_ends", "max_lengths")),
        *((name, c_void_p) for name in ("ids", "log_probs", "n_hypotheses", "lengths", "totals")),
        *((name, c_void_p) for name in ("trace", "n_traced")),
        ("table", _C_TABLE),
        ("stop", c_void_p),
    ]


class NativeDecoder:
    """A model prepacked for decoding in C. It has no state, so threads can share it."""

    def __init__(self, library: ctypes.CDLL, weights: Mapping[str, Any], *, n_heads: int, pre_norm: bool,
                 activation: str, positions: Any, precision: str = "float32"):
        arrays = list(_tensors(weights, positions, pre_norm=pre_norm))
        arrays = [np.ascontiguousarray(a, dtype=np.float32) for a in arrays]
        vocabulary, width = arrays[0].shape
        self.vocabulary = vocabulary
        sizes = _Sizes(vocabulary, width, n_heads, len(weights["encoder.layers.0.feed_forward.inner.weight"]),
                       _count(weights, "encoder"), _count(weights, "decoder"), len(positions),
                       pre_norm, ACTIVATIONS.index(activation), PRECISIONS.index(precision), 1e-5)
        pointers = (c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
        library.new_model.restype = c_void_p
        self._c = library
        self._model = library.new_model(byref(sizes), pointers)
        self.stop = c_int(0)
        if not self._model:
            raise MemoryError

    def search(self, sources, *, max_lengths, beam_size, length_penalty, forbidden=(), n_best=1, prefixes=None,
               table=None, trace=False):
        n = len(sources)
        longest = max(max_lengths)
        i32 = lambda x: np.array(x, dtype=np.int32)
        i64 = lambda x: np.array(x, dtype=np.int64)
        prefixes = prefixes or [[]] * n
        keep = [i32(list(chain(*sources))), i32(list(chain(*prefixes))), i32(list(forbidden)),
                i64(list(accumulate(map(len, sources)))), i64(list(accumulate(map(len, prefixes)))), i64(max_lengths)]
        ids = np.zeros((n, n_best, longest), np.int32)
        log_probs = np.zeros((n, n_best, longest), np.float32)
        n_hyp = np.zeros(n, np.int64); lengths = np.zeros((n, n_best), np.int64); totals = np.zeros((n, n_best))
        def fill(sentence, n_tokens, tokens, out):
            row = table(sentence, tokens[:n_tokens])
            ctypes.memmove(out, np.ascontiguousarray(row, np.float32).ctypes.data, 4 * self.vocabulary)
        r = _Request(n, beam_size, n_best, len(forbidden), longest, length_penalty, *(a.ctypes.data for a in keep),
                     ids.ctypes.data, log_probs.ctypes.data, n_hyp.ctypes.data, lengths.ctypes.data, totals.ctypes.data,
                     None, None, _C_TABLE(fill) if table else _C_TABLE(), ctypes.addressof(self.stop))
        status = self._c.search(c_void_p(self._model), byref(r))
        if status: raise RuntimeError(status)
        return [[(ids[s, k, :lengths[s, k]].tolist(), float(totals[s, k])) for k in range(n_hyp[s])] for s in range(n)]


def _count(weights: Mapping[str, Any], stack: str) -> int:
    return sum(name.startswith(f"{stack}.layers.") and name.endswith(".inner.weight") for name in weights)


def _tensors(weights: Mapping[str, Any], positions: Any, *, pre_norm: bool):
    """List the tensors in the order in which `decoder.c` reads them."""
    def parts(*names):
        for kind in ("weight", "bias"):
            yield np.concatenate([weights[f"{name}.{kind}"] for name in names])
    yield weights["embedding.weight"]
    yield positions
    for stack in ("encoder", "decoder"):
        for i in range(_count(weights, stack)):
            layer = f"{stack}.layers.{i}."
            yield from parts(layer + "self_norm")
            yield from parts(layer + "self_attention.query", layer + "self_attention.key_value")
            yield from parts(layer + "self_attention.output")
            if stack == "decoder":
                yield from parts(layer + "cross_norm")
                yield from parts(layer + "cross_attention.query")
                yield from parts(layer + "cross_attention.key_value")
                yield from parts(layer + "cross_attention.output")
            yield from parts(layer + "feed_norm")
            yield from parts(layer + "feed_forward.inner")
            yield from parts(layer + "feed_forward.outer")
    if pre_norm:
        yield from parts("encoder.norm")
        yield from parts("decoder.norm")
