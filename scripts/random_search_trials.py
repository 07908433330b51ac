"""Search random models in C and by the readable search in float64, and compare each step of both.

python scripts/random_search_trials.py                 300 models, in about three minutes on one core
python scripts/random_search_trials.py --models 5000   a soak test

A batch must be searched like its sentences alone, to the last bit. The readable search must rank the same
continuations, unless two scores are closer than twice the numerical error; from there on, they may differ.
The error is the largest difference between scores of the same continuation so far.
"""

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch

from translator.building import build_model
from translator.config import ModelConfig
from translator.engine.native_decoding import PRECISIONS, NativeDecoder
from translator.engine.native_library import load_library, problem
from translator.engine.reference import ReferenceDecoding
from translator.engine.torch_search import TorchDecoder
from translator.model.transformer import Transformer
from translator.search.result import Result, SearchOptions
from translator.search.trace import Trace
from translator.symbols import NEVER_EMITTED

#: Scores in float64 of a model in float32 differ by this, even if no sum has been rounded visibly yet.
LEAST_ERROR = 1e-6
Outcome = Literal["same", "close", "WRONG"]


class Verdict(NamedTuple):
    """The outcome of a comparison, and the numerical error up to the step at which it was decided."""

    outcome: Outcome
    error: float


def random_shape(draw: random.Random) -> ModelConfig:
    width = draw.choice([16, 32, 48, 64, 96])
    values: dict[str, Any] = {
        "width": width,
        "n_heads": draw.choice([heads for heads in (1, 2, 3, 4, 6) if width % heads == 0]),
        "feed_forward": 16 * draw.randint(1, 12),
        "n_encoder_layers": draw.randint(1, 3),
        "n_decoder_layers": draw.randint(1, 3),
        "activation": draw.choice(["relu", "gelu", "silu"]),
        "norm": draw.choice(["pre", "post"]),
        "max_length": 64,
    }
    return ModelConfig.model_validate(values)


@torch.no_grad()
def random_model(shape: ModelConfig, draw: random.Random) -> Transformer:
    torch.manual_seed(draw.randrange(2**31))
    model = build_model(shape, draw.randint(6, 300)).eval()
    for name, weight in model.named_parameters():
        if name == "embedding.weight":
            weight.normal_(std=draw.uniform(0.5, 3) / shape.width**0.5)
        elif weight.dim() == 1:
            weight.add_(torch.randn_like(weight) * 0.1)
    return model


def random_options(draw: random.Random) -> SearchOptions:
    beam_size = draw.randint(1, 8)
    return SearchOptions(
        beam_size, draw.choice([0.0, 0.6, 1.0, 1.5]), NEVER_EMITTED, n_best=draw.randint(1, beam_size)
    )


def compare(found: Trace, expected: Trace, results: tuple[Result, Result]) -> Verdict:
    """Compare the traces and results of the search in C and of the readable search for a sentence."""
    error = LEAST_ERROR
    for ours, theirs in zip(found, expected, strict=False):
        scores = {(c.parent, c.piece): c.log_prob for c in theirs}
        for c in ours:
            error = max(error, abs(c.log_prob - scores.get((c.parent, c.piece), c.log_prob)))
        if len(ours) != len(theirs):
            return Verdict("WRONG", error)
        for a, b in zip(ours, theirs, strict=True):
            if (a.parent, a.piece, a.fate) != (b.parent, b.piece, b.fate):
                return Verdict("close" if abs(a.log_prob - b.log_prob) <= 2 * error else "WRONG", error)
    [ours, theirs] = ([(h.ids, h.score) for h in result.hypotheses] for result in results)
    if len(found) == len(expected) and [ids for ids, _ in ours] == [ids for ids, _ in theirs]:
        return Verdict("same", error)
    near = all(
        math.isclose(a, b, rel_tol=0, abs_tol=2 * error) for (_, a), (_, b) in zip(ours, theirs, strict=False)
    )
    return Verdict("close" if near else "WRONG", error)


def try_model(draw: random.Random, precision: str) -> list[Verdict]:
    shape, options = random_shape(draw), random_options(draw)
    model, library = random_model(shape, draw), load_library()
    assert library is not None
    weights = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    native = NativeDecoder(library, weights, shape, precision=precision)  # type: ignore[arg-type]
    readable = TorchDecoder(ReferenceDecoding(model.double()))
    n_tokens, n = model.embedding.num_embeddings, draw.randint(1, 12)
    sources = [[draw.randrange(4, n_tokens) for _ in range(draw.randint(1, 30))] for _ in range(n)]
    limits = [draw.randint(2, 14) for _ in sources]
    together = native.search(sources, max_lengths=limits, options=options)
    verdicts = []
    for source, limit, in_batch in zip(sources, limits, together, strict=True):
        traces: tuple[Trace, Trace] = [], []
        results = [
            decoder.search([source], max_lengths=[limit], options=options, trace=trace)[0]
            for decoder, trace in zip((native, readable), traces, strict=True)
        ]
        verdict = compare(*traces, (results[0], results[1]))
        verdicts.append(verdict if results[0] == in_batch else Verdict("WRONG", verdict.error))
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if reason := problem():
        sys.exit(f"error: {reason}")
    torch.set_num_threads(1)
    counts: Counter[tuple[str, Outcome]] = Counter()
    largest = dict.fromkeys(PRECISIONS, 0.0)
    for number in range(options.models):
        precision = PRECISIONS[number % len(PRECISIONS)]
        for outcome, error in try_model(random.Random(f"{options.seed} {number}"), precision):
            counts[precision, outcome] += 1
            largest[precision] = max(largest[precision], error)
            if outcome == "WRONG":
                print(f"model {number} of seed {options.seed} is searched in another way", file=sys.stderr)
    print("| precision | same | close | wrong | largest error |\n| --- | --- | --- | --- | --- |")
    for precision in PRECISIONS:
        numbers = " | ".join(str(counts[precision, outcome]) for outcome in ("same", "close", "WRONG"))
        print(f"| {precision} | {numbers} | {largest[precision]:.1e} |")
    return int(any(outcome == "WRONG" for _, outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
