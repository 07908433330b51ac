"""Decoding in C: a whole search in one call. This module does not import torch.

`csrc/decoder.c` computes what `translator.model` defines, and `csrc/search.c` searches by the rules of
`translator.search`. Each sum has one fixed order, so the result for a sentence is the same to the last bit
whatever other sentences are decoded with it. The C code is single-threaded and runs without the GIL.
"""

import ctypes
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_double, c_float, c_int, c_int32, c_long, c_void_p
from itertools import accumulate, chain
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from translator.config import ModelConfig
from translator.search.result import NOTHING, Hypothesis, Result, SearchOptions
from translator.search.scoring import normalised
from translator.search.trace import Trace, considered
from translator.symbols import EOS

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
#: Widths must be multiples of this number, the largest number of floats in a vector register.
LANES = 16

#: A function that returns log-probabilities, (V,), given the number of a sentence and the tokens so far.
Table = Callable[[int, list[int]], NDArray[np.float32]]

_ACTIVATIONS = ("none", "relu", "gelu", "silu")
_EPSILON = 1e-5  # of `nn.LayerNorm`
_DONE, _STOPPED, _NO_MEMORY, _NOT_FINITE = range(4)
_ERRORS = {_STOPPED: InterruptedError, _NO_MEMORY: MemoryError, _NOT_FINITE: FloatingPointError}
_CTable = CFUNCTYPE(None, c_long, c_long, POINTER(c_int32), c_void_p)
_CONTINUATION = np.dtype([("score", "f8"), ("log_prob", "f4"), ("parent", "i4"), ("token", "i4")], align=True)


class _Sizes(Structure):
    """Mirror of the struct `sizes` in `csrc/decoder.h`; both must have the same fields."""

    _fields_ = [
        *((name, c_long) for name in ("vocabulary", "width", "n_heads", "feed_forward")),
        *((name, c_long) for name in ("n_encoder_layers", "n_decoder_layers", "n_positions")),
        *((name, c_int) for name in ("pre_norm", "activation", "precision")),
        ("epsilon", c_float),
    ]


class _Request(Structure):
    """Mirror of the struct `request` in `csrc/search.c`; both must have the same fields."""

    _fields_ = [
        *((name, c_long) for name in ("n_sentences", "beam_size", "n_best", "n_forbidden", "max_length")),
        ("length_penalty", c_double),
        *((name, c_void_p) for name in ("sources", "source_ends", "prefixes", "prefix_ends")),
        *((name, c_void_p) for name in ("forbidden", "max_lengths")),
        *((name, c_void_p) for name in ("ids", "log_probs", "n_hypotheses", "lengths", "totals")),
        *((name, c_void_p) for name in ("trace", "n_traced")),
        ("table", _CTable),
        ("stop", c_void_p),
    ]


class NativeDecoder:
    """A model prepacked for decoding in C. It has no state, so concurrent searches can share it."""

    single_threaded = True

    def __init__(
        self,
        library: ctypes.CDLL,
        weights: Mapping[str, NDArray[Any]],
        shape: ModelConfig,
        *,
        precision: Precision = "float32",
    ):
        """Copy and prepack weights.

        Args:
            library: the C library, from `native_library.load_library`.
            weights: the state dict of a `Transformer`.
            shape: the shape of the model, which `why_unsupported` accepts.
            precision: precision of the matrix products. Their inputs are rounded to bfloat16, or quantized to
                int8 with one scale per row; the sums of products, attention and the layer norms are float32.

        Raises:
            MemoryError: there is not enough memory.
        """
        # A prefix may make an output longer than `max_length`.
        positions = sinusoids(2 * shape.max_length, shape.width, base=shape.position_base)
        tensors = [np.ascontiguousarray(x, dtype=np.float32) for x in _tensors(weights, positions, shape)]
        self.n_tokens, self.n_positions, self.precision = len(tensors[0]), len(positions), precision
        sizes = _Sizes(
            self.n_tokens, shape.width, shape.n_heads, shape.feed_forward,
            shape.n_encoder_layers, shape.n_decoder_layers, self.n_positions,
            shape.norm == "pre", _ACTIVATIONS.index(shape.activation), PRECISIONS.index(precision), _EPSILON,
        )  # fmt: skip
        library.new_model.restype = c_void_p
        self._c = library
        self._model = c_void_p(
            library.new_model(byref(sizes), (c_void_p * len(tensors))(*(x.ctypes.data for x in tensors)))
        )
        if not self._model:
            raise MemoryError
        weakref.finalize(self, library.free_model, self._model)

    @staticmethod
    def why_unsupported(shape: ModelConfig) -> str | None:
        """Return why models of a shape cannot be decoded in C, or None if they can."""
        if shape.width % LANES or shape.feed_forward % LANES:
            return f"model.width or model.feed_forward is not a multiple of {LANES}"
        return None

    def search(
        self,
        sources: Sequence[Sequence[int]],
        *,
        max_lengths: Sequence[int],
        options: SearchOptions,
        prefixes: Sequence[Sequence[int]] | None = None,
        stop: c_int | None = None,
        trace: Trace | None = None,
        table: Table | None = None,
    ) -> list[Result]:
        """Search for the translations of tokenized sources.

        Args:
            sources: token ids of each source, without the start symbol and the end symbol.
            max_lengths: maximum length of each output, including the end symbol; at least 2, and above the
                length of the prefix.
            options: options of the search.
            prefixes: for each source, the tokens with which its output starts, if not those of `options`.
            stop: a flag. If it becomes nonzero, the search ends at its next step.
            trace: as in `beam_search`. A trace requires that there is only one source.
            table: log-probabilities to search instead of those of the model, for tests.

        Returns:
            One result per source, in order.

        Raises:
            FloatingPointError: the scores of the model are not finite.
            InterruptedError: the flag was set.
            MemoryError: there is not enough memory.
            ValueError: a source or an output is longer than the position encodings, an output cannot hold its
                prefix, a token is not in the vocabulary, there is a trace and not exactly one source, or the
                options have seeds, because C does not sample.
        """
        if not sources:
            return []
        prefixes = [options.prefix] * len(sources) if prefixes is None else prefixes
        self._check(sources, prefixes, max_lengths, options, trace)
        n, longest, stop = len(sources), max(max_lengths), c_int(0) if stop is None else stop
        found = _Found(n, options.n_best, longest, n_ranked=0 if trace is None else 2 * options.beam_size + 1)
        inputs: list[NDArray[Any]] = [
            *_concatenate([[*source, EOS] for source in sources]),
            *_concatenate(prefixes),
            np.array(options.forbidden, dtype=np.int32),
            np.array(max_lengths, dtype=np.int64),
        ]
        for ids in inputs[0], inputs[2], inputs[4]:
            if ids.view(np.uint32).max(initial=0) >= self.n_tokens:
                raise ValueError(f"a token is not in the vocabulary of {self.n_tokens} tokens")
        request = _Request(
            n, options.beam_size, options.n_best, len(options.forbidden), longest, options.length_penalty,
            *(array.ctypes.data for array in (*inputs, *found.outputs)),
            *(None if trace is None else array.ctypes.data for array in (found.trace, found.n_traced)),
            _CTable() if table is None else self._callback(table), ctypes.addressof(stop),
        )  # fmt: skip
        status = self._c.search(self._model, byref(request))
        if status != _DONE:
            raise _ERRORS[status]
        if trace is not None:
            trace.extend(found.steps(options.beam_size))
        return found.results(options.length_penalty)

    def _check(
        self,
        sources: Sequence[Sequence[int]],
        prefixes: Sequence[Sequence[int]],
        max_lengths: Sequence[int],
        options: SearchOptions,
        trace: Trace | None,
    ) -> None:
        """Raise a ValueError for what C does not do, and for lengths that its memory does not hold."""
        if options.seeds:
            raise ValueError("the search in C does not sample; load the model with backend='torch'")
        if trace is not None and len(sources) != 1:
            raise ValueError(f"a trace is of one sentence; this batch has {len(sources)}")
        for source, prefix, limit in zip(sources, prefixes, max_lengths, strict=True):
            if max(len(source) + 1, limit) > self.n_positions:
                raise ValueError(f"a source or an output is longer than {self.n_positions} tokens")
            if limit < max(2, len(prefix) + 1):
                raise ValueError("an output has no room for its prefix and the end symbol")

    def _callback(self, table: Table) -> Any:
        def fill(sentence: int, n_tokens: int, tokens: Any, log_probs: int) -> None:
            row = np.ascontiguousarray(table(sentence, tokens[:n_tokens]), dtype=np.float32)
            ctypes.memmove(log_probs, row.ctypes.data, 4 * self.n_tokens)

        return _CTable(fill)


class _Found:
    """The arrays to which a search writes what it finds for n sentences."""

    def __init__(self, n: int, n_best: int, max_length: int, *, n_ranked: int):
        self.ids = np.zeros((n, n_best, max_length), dtype=np.int32)
        self.log_probs = np.zeros((n, n_best, max_length), dtype=np.float32)
        self.n_hypotheses = np.zeros(n, dtype=np.int64)
        self.lengths = np.zeros((n, n_best), dtype=np.int64)
        self.totals = np.zeros((n, n_best), dtype=np.float64)
        self.trace = np.zeros((max_length if n_ranked else 0, n_ranked), dtype=_CONTINUATION)
        self.n_traced = np.zeros(len(self.trace), dtype=np.int64)
        outputs = self.ids, self.log_probs, self.n_hypotheses, self.lengths, self.totals
        self.outputs: list[NDArray[Any]] = [*outputs]

    def results(self, length_penalty: float) -> list[Result]:
        return [
            Result([self._hypothesis(s, k, length_penalty) for k in range(count)] or [NOTHING])
            for s, count in enumerate(self.n_hypotheses.tolist())
        ]

    def _hypothesis(self, sentence: int, rank: int, length_penalty: float) -> Hypothesis:
        at = sentence, rank
        length, total = int(self.lengths[at]), float(self.totals[at])
        return Hypothesis(
            self.ids[at][:length].tolist(),
            total,
            normalised(total, length + 1, length_penalty),
            self.log_probs[at][: length + 1].tolist(),
        )

    def steps(self, beam_size: int) -> Trace:
        columns = ("score", "parent", "token")
        return [
            considered(
                zip(*(step[name][:count].tolist() for name in columns), strict=True), beam_size=beam_size
            )
            for step, count in zip(self.trace, self.n_traced.tolist(), strict=True)
            if count
        ]


def _concatenate(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the concatenation of rows, and the position at which each row ends."""
    ends = list(accumulate(map(len, rows)))
    return np.fromiter(chain(*rows), np.int32, ends[-1] if ends else 0), np.array(ends, dtype=np.int64)


def sinusoids(length: int, width: int, *, base: float) -> NDArray[np.float32]:
    """Return the table of `model.positions.sinusoids`, up to rounding."""
    frequency = np.exp(np.arange(0, width, 2, dtype=np.float32) * np.float32(-math.log(base) / width))
    angle = np.arange(length, dtype=np.float32)[:, None] * frequency
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def _tensors(
    weights: Mapping[str, NDArray[Any]], positions: NDArray[np.float32], shape: ModelConfig
) -> Iterator[NDArray[Any]]:
    """Yield the tensors in the order in which `csrc/decoder.c` reads them.

    Raises:
        ValueError: a tensor does not have the shape that the model's shape implies.
    """
    d, f = shape.width, shape.feed_forward
    query_key_value = ("self_attention.query", "self_attention.key_value")  # one product
    self_attention: list[tuple[tuple[str, ...], tuple[int, ...]]] = [
        (("self_norm",), (d,)), (query_key_value, (3 * d, d)), (("self_attention.output",), (d, d))
    ]  # fmt: skip
    cross_attention = [
        (("cross_norm",), (d,)), (("cross_attention.query",), (d, d)),
        (("cross_attention.key_value",), (2 * d, d)), (("cross_attention.output",), (d, d)),
    ]  # fmt: skip
    feed_forward = [
        (("feed_norm",), (d,)), (("feed_forward.inner",), (f, d)), (("feed_forward.outer",), (d, f))
    ]  # fmt: skip
    yield _of_shape(weights["embedding.weight"], (len(weights["embedding.weight"]), d))
    yield positions
    for stack, n_layers, parts in (
        ("encoder", shape.n_encoder_layers, [*self_attention, *feed_forward]),
        ("decoder", shape.n_decoder_layers, [*self_attention, *cross_attention, *feed_forward]),
    ):
        for i in range(n_layers):
            for names, size in parts:
                prefixes = [f"{stack}.layers.{i}.{name}" for name in names]
                yield _of_shape(np.concatenate([weights[f"{name}.weight"] for name in prefixes]), size)
                yield _of_shape(np.concatenate([weights[f"{name}.bias"] for name in prefixes]), size[:1])
    for stack in ("encoder", "decoder") if shape.norm == "pre" else ():
        yield from (_of_shape(weights[f"{stack}.norm.{kind}"], (d,)) for kind in ("weight", "bias"))


def _of_shape(tensor: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if tensor.shape != shape:
        raise ValueError(f"a weight has the shape {tensor.shape}, not {shape}")
    return tensor
