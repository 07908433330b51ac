"""Decoding in C: the same bits in every batch, precise log-probabilities, and clean failures."""

import copy
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from native_models import EACH_PRECISION, each_level, native, needs_library, random_model, tiny_shape
from torch import Tensor
from torch.nn import functional as F

from translator.config import ModelConfig
from translator.engine.native_decoding import NativeDecoder, Precision
from translator.model.transformer import Transformer
from translator.search.result import Result, SearchOptions
from translator.symbols import BOS, EOS, NEVER_EMITTED
from translator.translation.batched_search import batched_search

ROOT = Path(__file__).resolve().parents[2]
N_TOKENS = 37
FIVE_BEST = SearchOptions(5, 1.0, NEVER_EMITTED, n_best=5)

#: Head widths below, at and above that of a vector, and activations and norms of each kind.
SHAPES = [
    tiny_shape(width=16, n_heads=1, feed_forward=16),
    tiny_shape(width=16, n_heads=4, feed_forward=80, norm="post", activation="silu"),
    tiny_shape(width=32, n_heads=4, feed_forward=64, activation="gelu", n_encoder_layers=2),
    tiny_shape(width=48, n_heads=4, feed_forward=112, norm="post", activation="gelu"),
    tiny_shape(width=48, n_heads=6, feed_forward=48, activation="silu", n_decoder_layers=1),
    tiny_shape(width=64, n_heads=1, feed_forward=128, norm="post"),
    tiny_shape(width=96, n_heads=4, feed_forward=32, activation="silu"),
    tiny_shape(width=96, n_heads=3, feed_forward=64, activation="gelu", norm="post"),
]


def named(shape: ModelConfig) -> str:
    return f"{shape.width}/{shape.n_heads} {shape.norm} {shape.activation}"


each_shape = pytest.mark.parametrize("shape", SHAPES, ids=named)


@cache
def model_of(shape: ModelConfig, n_tokens: int = N_TOKENS) -> Transformer:
    return random_model(shape, n_tokens=n_tokens, seed=shape.width)


def random_ids(seed: int, lengths: Sequence[int]) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(4, N_TOKENS) for _ in range(length)] for length in lengths]


def log_probs_of(
    decoder: NativeDecoder, sources: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Return the log-probabilities of the tokens of given outputs and of the end symbol."""
    results = decoder.search(
        sources,
        max_lengths=[len(output) + 1 for output in outputs],
        options=SearchOptions(1, 1.0, NEVER_EMITTED),
        prefixes=outputs,
    )
    assert [result.hypotheses[0].ids for result in results] == list(outputs)
    return [torch.tensor(result.hypotheses[0].log_probs).double() for result in results]


# --- The same bits in every batch ---------------------------------------------------------------------


def assert_alike_in_every_batch(decoder: NativeDecoder, lengths: Sequence[int]) -> None:
    draw = random.Random(len(lengths))
    sources = random_ids(1, lengths)
    limits = [draw.randint(2, 9) for _ in sources]

    def found(rows: Sequence[int], batch_size: int) -> list[Result]:
        results = {}
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            of_batch = decoder.search(
                [sources[row] for row in chosen],
                max_lengths=[limits[row] for row in chosen],
                options=FIVE_BEST,
            )
            results |= dict(zip(chosen, of_batch, strict=True))
        return [results[row] for row in range(len(rows))]

    rows = list(range(len(sources)))
    alone = found(rows, 1)
    # Equal as objects: ids, sums, scores and log-probabilities of all hypotheses are the same bits.
    assert found(rows, 7) == alone
    assert found(rows, 64) == alone
    assert found(draw.sample(rows, len(rows)), 7) == alone
    assert found(draw.sample(rows, len(rows)), 64) == alone
    assert len({str(result) for result in alone}) > 0.9 * len(sources), "the sentences differ"


@each_level
@EACH_PRECISION
@each_shape
def test_a_sentence_is_translated_alike_in_every_batch(
    shape: ModelConfig, precision: Precision, level: str
) -> None:
    decoder = native(model_of(shape), shape, level=level, precision=precision)
    assert_alike_in_every_batch(decoder, [1 + (7 * i) % 23 for i in range(64)])


@each_level
@EACH_PRECISION
def test_sources_of_every_length_are_encoded_alike_in_every_batch(precision: Precision, level: str) -> None:
    """They are encoded together until they have 192 rows; some are longer than that."""
    shape = SHAPES[3].model_copy(update={"max_length": 256})
    decoder = native(model_of(shape), shape, level=level, precision=precision)
    assert_alike_in_every_batch(decoder, [*range(1, 250, 13), 190, 191, 192, 193, 250, 0])


@needs_library
@EACH_PRECISION
def test_threads_change_nothing(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = native(model_of(SHAPES[2]), SHAPES[2], precision=precision)
    sources = random_ids(2, [1 + (5 * i) % 60 for i in range(150)])
    limits = [2 + i % 7 for i in range(150)]
    by_case = {}
    for threads in (1, 2):
        monkeypatch.setattr("translator.translation.batched_search.n_threads", lambda n=threads: n)
        for batch_size in (1, 7, 64):
            by_case[threads, batch_size] = batched_search(
                decoder, sources, max_lengths=limits, options=FIVE_BEST, batch_size=batch_size
            )
    assert all(results == by_case[1, 1] for results in by_case.values())


@needs_library
def test_control_another_precision_has_other_bits() -> None:
    def found(precision: Precision) -> list[Result]:
        decoder = native(model_of(SHAPES[2]), SHAPES[2], precision=precision)
        return decoder.search(random_ids(1, [5]), max_lengths=[8], options=FIVE_BEST)

    assert found("float32") == found("float32")
    assert found("float32") != found("bfloat16") != found("int8")


# --- Precision ----------------------------------------------------------------------------------------


def rounded_to_bfloat16(x: Tensor) -> Tensor:
    return x.float().bfloat16().to(x.dtype)


def rounded_to_int8(x: Tensor) -> Tensor:
    """Round to multiples of a 127th of the largest value of each row."""
    scale = x.abs().amax(-1, keepdim=True) / 127
    return (x / scale).round() * scale


ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "float32": lambda x: x,
    "bfloat16": rounded_to_bfloat16,
    "int8": rounded_to_int8,
}


@torch.no_grad()
def teacher_forced(
    model: Transformer,
    sources: Sequence[Sequence[int]],
    outputs: Sequence[Sequence[int]],
    precision: str = "float32",
) -> list[Tensor]:
    """Compute in float64 what `log_probs_of` returns, with rounded inputs of all linear layers."""
    rounded = ROUNDING[precision]
    exact = copy.deepcopy(model).double()
    embedding = rounded(exact.embedding.weight)
    for module in exact.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.copy_(rounded(module.weight))
            module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0]), *inputs[1:]))
    result = []
    for source, output in zip(sources, outputs, strict=True):
        states = exact.decode(exact.encode(torch.tensor([[*source, EOS]])), torch.tensor([[BOS, *output]]))
        log_probs = F.linear(rounded(states), embedding)[0].log_softmax(-1)
        result.append(log_probs.gather(1, torch.tensor([*output, EOS])[:, None])[:, 0])
    return result


def errors(found: Sequence[Tensor], expected: Sequence[Tensor]) -> Tensor:
    return (torch.cat(list(found)) - torch.cat(list(expected))).abs()


PAIRS = (random_ids(3, [0, 1, 4, 9, 17, 30, 50]), random_ids(4, [9, 1, 50, 2, 20, 30, 4]))


@each_level
@each_shape
def test_float32_is_precise(shape: ModelConfig, level: str) -> None:
    decoder = native(model_of(shape), shape, level=level)
    error = errors(log_probs_of(decoder, *PAIRS), teacher_forced(model_of(shape), *PAIRS))
    assert error.max() < 2e-5
    other = teacher_forced(random_model(shape, n_tokens=N_TOKENS, seed=5), *PAIRS)
    assert errors(other, teacher_forced(model_of(shape), *PAIRS)).min() > 1e-4, "control"


@pytest.mark.slow
@each_level
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@each_shape
def test_a_precision_rounds_the_inputs_of_products_and_nothing_else(
    shape: ModelConfig, precision: Precision, level: str
) -> None:
    """Compare with float64 sums of rounded inputs, from which few log-probabilities should differ.

    They do if a value is rounded to the other side, because the sums before it differ in a last bit.
    """
    decoder = native(model_of(shape), shape, level=level, precision=precision)
    exact, simulated = (teacher_forced(model_of(shape), *PAIRS, each) for each in ("float32", precision))
    found = log_probs_of(decoder, *PAIRS)
    error, expected, unexplained = (
        errors(*each) for each in ((found, exact), (simulated, exact), (found, simulated))
    )
    assert error.square().mean() < 1.2 * expected.square().mean()
    assert unexplained.square().mean() < 0.4 * expected.square().mean()
    assert unexplained.quantile(0.2) < 5e-6
    assert error.quantile(0.2) > 2e-4, "control"


# --- What is not finite -------------------------------------------------------------------------------


@pytest.mark.slow
@torch.no_grad()
@needs_library
@EACH_PRECISION
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_a_weight_that_is_not_finite_is_reported(activation: str, value: float, precision: Precision) -> None:
    """Wherever it is, if PyTorch computes NaN with it; a unit whose bias is -inf may just be off."""
    shape = tiny_shape(width=16, n_heads=1, feed_forward=16, n_decoder_layers=1, activation=activation)
    n_reported = 0
    for name, _ in model_of(shape).named_parameters():
        model = copy.deepcopy(model_of(shape))
        weight = model.get_parameter(name)
        weight.view(-1)[5 % weight.numel()] = value
        log_probs = model(torch.tensor([[4, 9, EOS]]), torch.tensor([[BOS]])).log_softmax(-1)
        if log_probs.isfinite().all():
            assert value == value, "NaN is never lost"
            continue
        with pytest.raises(FloatingPointError):
            native(model, shape, precision=precision).search(
                [[5], [4, 9], [6]], max_lengths=[4, 4, 4], options=FIVE_BEST
            )
        n_reported += 1
    assert n_reported > 10


@needs_library
@EACH_PRECISION
def test_huge_weights_do_not_pass_for_translations(precision: Precision) -> None:
    """Sums that overflow are infinite or NaN."""
    model = copy.deepcopy(model_of(SHAPES[0]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(1e30)
    with pytest.raises(FloatingPointError):
        native(model, SHAPES[0], precision=precision).search([[5]], max_lengths=[4], options=FIVE_BEST)


# --- Arguments and limits -----------------------------------------------------------------------------


@needs_library
def test_a_token_that_is_forbidden_twice_counts_once() -> None:
    decoder, source = native(model_of(SHAPES[2]), SHAPES[2]), random_ids(1, [5])
    chosen = decoder.search(source, max_lengths=[8], options=FIVE_BEST)[0].hypotheses[0].ids[0]
    twice = replace(FIVE_BEST, forbidden=[*NEVER_EMITTED, *NEVER_EMITTED, chosen, chosen])
    once = replace(FIVE_BEST, forbidden=[*NEVER_EMITTED, chosen])
    results = [decoder.search(source, max_lengths=[8], options=options) for options in (twice, once)]
    assert results[0] == results[1]
    assert results[0] != decoder.search(source, max_lengths=[8], options=FIVE_BEST), "control"


@needs_library
def test_outputs_end_at_their_limits_and_no_batch_is_too_small() -> None:
    """A model that never ends by itself."""
    model = copy.deepcopy(model_of(SHAPES[2]))
    with torch.no_grad():
        model.embedding.weight[EOS] *= -30
        model.embedding.weight[4:] = model.embedding.weight[4:].abs()
        model.decoder.norm.bias.fill_(5)
    decoder = native(model, SHAPES[2])
    assert decoder.search([], max_lengths=[], options=FIVE_BEST) == []
    limits = [2, 3, 7, 128, 20]
    results = decoder.search(random_ids(1, [3] * 5), max_lengths=limits, options=FIVE_BEST)
    for result, limit in zip(results, limits, strict=True):
        assert [len(hypothesis.ids) for hypothesis in result.hypotheses] == [limit - 1] * 5
        assert all(len(hypothesis.log_probs) == limit for hypothesis in result.hypotheses)


@needs_library
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": [[4], [N_TOKENS]]}, "not in the vocabulary of 37"),
        ({"sources": [[4], [-1]]}, "not in the vocabulary of 37"),
        ({"prefixes": [[], [N_TOKENS]]}, "not in the vocabulary of 37"),
        ({"options": replace(FIVE_BEST, forbidden=[N_TOKENS])}, "not in the vocabulary of 37"),
        ({"options": replace(FIVE_BEST, prefix=[4] * 8)}, "no room for its prefix"),
        ({"prefixes": [[], [4] * 8]}, "no room for its prefix"),
        ({"max_lengths": [8, 1]}, "no room for"),
        ({"max_lengths": [8, 129]}, "longer than 128 tokens"),
        ({"sources": [[4], [4] * 128]}, "longer than 128 tokens"),
        ({"max_lengths": [8]}, "shorter than argument"),
        ({"prefixes": [[]]}, "shorter than argument"),
        ({"sources": [[4]]}, "longer than argument"),
        ({"trace": []}, "a trace is of one sentence; this batch has 2"),
    ],
)
def test_arguments_that_would_read_or_write_out_of_bounds_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    decoder = native(model_of(SHAPES[2]), SHAPES[2])
    sound = {"sources": [[4], [5]], "max_lengths": [8, 8], "options": FIVE_BEST}
    assert len(decoder.search(**sound)) == 2
    with pytest.raises(ValueError, match=message):
        decoder.search(**sound | changes)


# --- Ends before the end ------------------------------------------------------------------------------


@needs_library
def test_a_search_ends_soon_after_its_flag_is_set() -> None:
    shape = tiny_shape(width=96, feed_forward=512, max_length=1024)
    decoder, stop = native(random_model(shape, n_tokens=5000), shape), c_int(0)
    everything = SearchOptions(12, 0.0, [*NEVER_EMITTED], n_best=1)

    def search() -> None:
        decoder.search([[4] * 1000] * 50, max_lengths=[2048] * 50, options=everything, stop=stop)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(search)
        with pytest.raises(TimeoutError):
            job.result(timeout=0.3)
        stop.value = 1
        with pytest.raises(InterruptedError):
            job.result(timeout=2)


@needs_library
def test_ctrl_c_ends_the_searches_of_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translator.translation.batched_search.n_threads", lambda: 2)
    shape = tiny_shape(width=96, feed_forward=512, max_length=1024)
    decoder = native(random_model(shape, n_tokens=5000), shape)
    options = SearchOptions(12, 0.0, NEVER_EMITTED)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in a shell's background
    press = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        batched_search(decoder, [[4] * 500] * 500, max_lengths=[2048] * 500, options=options, batch_size=16)
    signal.signal(signal.SIGINT, before)
    pressed = time.monotonic()
    # The pool has two threads, so both are free again if two more jobs are done.
    few = {"max_lengths": [3] * 40, "options": options, "batch_size": 1}
    assert len(batched_search(decoder, [[4]] * 40, **few)) == 40
    assert time.monotonic() - pressed < 5


NO_MEMORY = """
import resource, sys
sys.path.insert(0, "tests")
from native_models import native, random_model, tiny_shape
from translator.search.result import SearchOptions

shape = tiny_shape(max_length=60_000)
decoder = native(random_model(shape), shape)
small = {"max_lengths": [9], "options": SearchOptions(4, 1.0, [], n_best=4)}
before = decoder.search([[5, 6]], **small)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for megabytes in (1, 10, 50, 100, 200):
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), resource.RLIM_INFINITY))
    for sources, length in (([[5] * 50_000], 9), ([[5]] * 5000, 99), ([[5]] * 3, 99_999)):
        options = SearchOptions(64, 1.0, [])
        try:
            decoder.search(sources, max_lengths=[length] * len(sources), options=options)
        except MemoryError:
            print("MemoryError")
    assert decoder.search([[5, 6]], **small) == before
"""


@pytest.mark.slow
@needs_library
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits of memory are tested on Linux")
def test_too_little_memory_is_an_exception_after_which_searches_go_on() -> None:
    run = subprocess.run(
        [sys.executable, "-c", NO_MEMORY], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (run.returncode, run.stdout.split()) == (0, ["MemoryError"] * 15), run.stderr
