"""The parity harness: what the engines compute beside what `translator.model` computes, in every combination.

python tests/engine/parity.py    the largest differences, by dtype and backend
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from translator.building import build_model
from translator.config import ModelConfig
from translator.data.batching import Batch, make_batch
from translator.engine.backend import Backend, training_engine
from translator.engine.decoding import DecodingEngine
from translator.engine.native import load_native
from translator.engine.native_decoding import NativeDecoder, Precision
from translator.engine.native_library import load_library
from translator.engine.reference import ReferenceDecoding, ReferenceTraining
from translator.engine.replicas import Replicas
from translator.engine.training import TrainingEngine
from translator.model.transformer import Transformer
from translator.search.result import SearchOptions
from translator.search.trace import Trace
from translator.symbols import BOS, EOS, NEVER_EMITTED, PAD

N_PIECES, N_HEADS, SMOOTHING = 40, 2, 0.1

NORMS, ACTIVATIONS, HEAD_WIDTHS = ("pre", "post"), ("relu", "gelu", "silu"), (8, 16, 64)
#: Lengths of source and target of each pair, without start and end symbols.
LENGTHS = {
    "ragged": [(3, 7), (1, 2), (17, 4), (0, 1), (9, 16), (5, 5)],
    "one token": [(0, 0), (0, 0)],
    "batch of one": [(6, 9)],
}
#: Largest difference of a gradient, as a share of its parameter's largest gradient, and of a loss.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
#: Largest difference of a log-probability in C, as a share of the largest one, against float64.
NATIVE_TOLERANCE: dict[Precision, float] = {"float32": 2e-6, "bfloat16": 0.01, "int8": 0.05}
#: In bfloat16, the engine's error against float64 may be this many times the reference's own.
BFLOAT16_FACTOR = 1.5


@dataclass(frozen=True)
class Case:
    """A model and a batch.

    Attributes:
        norm: pre or post.
        activation: relu, gelu or silu.
        head_width: E.
        lengths: a key of `LENGTHS`.
        dropout: of sublayers, embeddings and inside the feed-forward.
        attention_dropout: of the attention weights.
        seed: of the weights.
    """

    norm: str = "pre"
    activation: str = "relu"
    head_width: int = 16
    lengths: str = "ragged"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    seed: int = 3

    def model(self, dtype: torch.dtype = torch.float64) -> Transformer:
        """Every weight random, biases and norms too, so that none can be lost unseen."""
        torch.manual_seed(self.seed)
        model = build_model(self.shape(), N_PIECES)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_((0.2 if parameter.dim() == 1 else 0.03) * torch.randn(parameter.shape))
        return model.to(dtype)

    def shape(self) -> ModelConfig:
        return ModelConfig(
            width=N_HEADS * self.head_width,
            n_heads=N_HEADS,
            feed_forward=48,
            n_encoder_layers=2,
            n_decoder_layers=2,
            max_length=12,
            dropout=self.dropout,
            activation_dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            activation=self.activation,  # type: ignore[arg-type]
            norm=self.norm,  # type: ignore[arg-type]
        )

    def batch(self) -> Batch:
        draw = random.Random(5)
        pairs = [
            [[draw.randrange(4, N_PIECES) for _ in range(n)] for n in pair] for pair in LENGTHS[self.lengths]
        ]
        return make_batch([source for source, _ in pairs], [target for _, target in pairs])


def cases(**fixed: Any) -> Iterator[Case]:
    """Every combination of norm, activation, head width and lengths."""
    for norm, activation, head_width, lengths in product(NORMS, ACTIVATIONS, HEAD_WIDTHS, LENGTHS):
        yield Case(norm, activation, head_width, lengths, **fixed)


def backends(dtype: torch.dtype) -> list[Backend]:
    """Native operations are not of float64."""
    return ["torch"] if dtype == torch.float64 or load_native() is None else ["torch", "native"]


def loss_and_gradients(
    engine: TrainingEngine | ReferenceTraining, batch: Batch, *, n_replicas: int = 1, bfloat16: bool = False
) -> list[Tensor]:
    """Loss, negative log-likelihood and the gradient of each parameter."""

    def loss(engine: TrainingEngine | ReferenceTraining, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16) if bfloat16 else nullcontext():
            return engine.loss(batch, SMOOTHING)

    parameters = list(engine.model.parameters())
    if n_replicas == 1 or isinstance(engine, ReferenceTraining):
        smoothed, nll = loss(engine, batch)
        return [smoothed.detach(), nll.detach(), *torch.autograd.grad(smoothed, parameters)]
    replicas = Replicas(engine, n_replicas=n_replicas)
    try:
        smoothed, nll = replicas.forward_backward(batch, loss)
        return [smoothed.detach(), nll.detach(), *torch.autograd.grad(smoothed, parameters)]
    finally:
        replicas.close()


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference, as a share of the largest value of its tensor.

    Tensors whose exact value is zero (the gradient of a key's bias, say) hold rounding errors alone: no scale
    is below a hundredth of the largest. Infinite where something is not finite.
    """
    assert [x.shape for x in found] == [x.shape for x in expected]
    largest = [float(x.abs().max()) for x in expected]
    worst = 0.0
    for mine, other, scale in zip(found, expected, largest, strict=True):
        if not mine.isfinite().all():
            return float("inf")
        worst = max(
            worst, float((mine - other).abs().max()) / max(scale, max(largest[2:], default=scale) / 100)
        )
    return worst


def training_difference(case: Case, dtype: torch.dtype, backend: Backend, n_replicas: int) -> float:
    """How far the training engine is from the reference."""
    model, batch = case.model(dtype), case.batch()
    expected = loss_and_gradients(ReferenceTraining(model), batch)
    engine = training_engine(model, backend)
    return difference(loss_and_gradients(engine, batch, n_replicas=n_replicas), expected)


def bfloat16_ratio(case: Case, backend: Backend, n_replicas: int, *, n_seeds: int = 4) -> float:
    """The engine's error in bfloat16 over the reference's own, each against float64, over some models."""
    mine, reference = 0.0, 0.0
    for seed in range(n_seeds):
        one = replace(case, seed=seed)
        exact, error = reference_in_bfloat16(one)
        engine = training_engine(one.model(torch.float32), backend)
        found = loss_and_gradients(engine, one.batch(), n_replicas=n_replicas, bfloat16=True)
        mine += relative_error(found, exact)
        reference += error
    return mine / reference


@lru_cache(maxsize=16)  # each backend and number of replicas is held against the same reference
def reference_in_bfloat16(case: Case) -> tuple[list[Tensor], float]:
    """The reference's loss and gradients in float64, and its own error in bfloat16."""
    exact = loss_and_gradients(ReferenceTraining(case.model()), case.batch())
    reference = ReferenceTraining(case.model(torch.float32))
    return exact, relative_error(loss_and_gradients(reference, case.batch(), bfloat16=True), exact)


def relative_error(found: list[Tensor], exact: list[Tensor]) -> float:
    """Mean over tensors of the L2 error, relative to the tensor's norm or a hundredth of the largest."""
    norms = [float(other.norm()) for other in exact]
    errors = [float((mine.double() - other).norm()) for mine, other in zip(found, exact, strict=True)]
    smallest = max(norms[2:]) / 100
    return sum(one / max(norm, smallest) for one, norm in zip(errors, norms, strict=True)) / len(norms)


class Replay(nn.Module):
    """In the place of an `nn.Dropout`: multiplies by masks that the engine drew."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        return x * self.masks.pop(0)


def dropout_difference(case: Case, dtype: torch.dtype, backend: Backend) -> float:
    """How far the engine with dropout is from the reference with the engine's masks."""
    model, batch = case.model(dtype), case.batch()
    engine = training_engine(model, backend)
    assert isinstance(engine, TrainingEngine)
    engine.rng.masks = drawn = []
    torch.manual_seed(7)
    found = loss_and_gradients(engine, batch)
    assert len(drawn) > 0
    assert any((mask == 0).any() for mask in drawn)
    replay_masks(model, batch, list(drawn))
    return difference(found, loss_and_gradients(ReferenceTraining(model), batch))


def replay_masks(model: Transformer, batch: Batch, drawn: list[Tensor]) -> None:
    """Put masks that an engine drew, in the order of its operations, in the place of the dropout modules."""
    real = {"source": batch.source_ids != PAD, "target": batch.target_in != PAD}

    def on_grid(mask: Tensor, side: str) -> Tensor:
        grid = mask.new_ones(*real[side].shape, mask.size(1))
        grid[real[side]] = mask[: int(real[side].sum())]
        return grid

    def put(owner: nn.Module, mask: Tensor) -> None:
        if not isinstance(owner.dropout, Replay):
            owner.dropout = Replay()
        owner.dropout.masks.append(mask)

    embedded, n_target = drawn.pop(0), int(real["target"].sum())
    n_source_rows = next(mask.size(0) for mask in drawn if mask.dim() == 2)  # of the first encoder layer
    put(model, on_grid(embedded[:n_source_rows], "source"))
    put(model, on_grid(embedded[n_source_rows:][:n_target], "target"))
    for side, stack in (("source", model.encoder), ("target", model.decoder)):
        for layer in stack.layers:
            for attention in filter(None, (layer.self_attention, layer.cross_attention)):
                if attention.dropout.p > 0:
                    put(attention, drawn.pop(0))
                put(layer, on_grid(drawn.pop(0), side))
            put(layer.feed_forward, on_grid(drawn.pop(0), side))
            put(layer, on_grid(drawn.pop(0), side))
    assert drawn == []


@torch.inference_mode()
def decoding_difference(case: Case, dtype: torch.dtype, *, n_hypotheses: int = 3) -> float:
    """How far the decoding engine's logits are from the reference's, over some steps of a search."""
    model, batch = case.model(dtype).eval(), case.batch()
    engine, reference = DecodingEngine(model), ReferenceDecoding(model)
    state, expected_state = (one.start(one.encode(batch.source_ids)) for one in (engine, reference))
    generator, found, expected = torch.Generator().manual_seed(4), [], []
    sentences = torch.arange(len(batch.source_ids))
    tokens = batch.target_in[:, :1]
    for step in range(7):
        found.append(engine.step(tokens, state))
        expected.append(reference.step(tokens, expected_state))
        parents = torch.randint(0, tokens.size(1), (len(tokens), n_hypotheses), generator=generator)
        if step in (3, 5) and len(sentences) > 1:  # a sentence is finished; the last one takes its place
            sentences = torch.tensor([len(sentences) - 1, *range(1, len(sentences) - 1)])
            parents = parents[sentences]
        else:
            sentences = torch.arange(len(tokens))
        for one in (state, expected_state):
            one.reorder(sentences, parents)
        tokens = torch.randint(4, N_PIECES, parents.shape, generator=generator)
    return difference(found, expected)


def native_decoding_difference(case: Case, precision: Precision = "float32") -> float:
    """How far the C decoder's log-probabilities are from the reference's in float64, by teacher forcing.

    Those of the hypotheses that it returns, and the sums of those of the continuations that each step of a
    traced search ranked. Infinite if a sentence alone and traced has another result than in a batch.
    """
    model, batch = case.model(torch.float32).eval(), case.batch()
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    library = load_library()
    assert library is not None
    decoder = NativeDecoder(library, weights, case.shape(), precision=precision)
    sources = [source[source != PAD][:-1].tolist() for source in batch.source_ids]
    options = SearchOptions(3, 1.0, NEVER_EMITTED, n_best=3)
    exact, found, expected = case.model().eval(), [], []
    together = decoder.search(sources, max_lengths=[15] * len(sources), options=options)
    for source, result in zip(sources, together, strict=True):
        trace: Trace = []
        [alone] = decoder.search([source], max_lengths=[15], options=options, trace=trace)
        if alone != result:
            return float("inf")
        for hypothesis in result.hypotheses:
            [log_probs] = teacher_forced(exact, source, [hypothesis.ids])
            found.append(torch.tensor(hypothesis.log_probs, dtype=torch.float64))
            expected.append(log_probs[range(len(log_probs)), [*hypothesis.ids, EOS]])
        if source in sources[:2]:  # of all sentences, it would take long
            totals, exact_totals = traced_log_probs(exact, source, trace)
            found.append(totals)
            expected.append(exact_totals)
    return difference([torch.cat(found)], [torch.cat(expected)])


@torch.inference_mode()
def teacher_forced(model: Transformer, source: list[int], targets: list[list[int]]) -> Tensor:
    """Return the log-probabilities of each token of W targets and of what follows it, (W, T + 1, V)."""
    sources = torch.tensor([[*source, EOS]] * len(targets))
    return model(sources, torch.tensor([[BOS, *ids] for ids in targets])).log_softmax(-1)


def traced_log_probs(model: Transformer, source: list[int], trace: Trace) -> tuple[Tensor, Tensor]:
    """Return what a trace says of each ranked continuation, and the model's Σ log p of its tokens."""
    live: list[list[int]] = [[]]
    found, expected = [], []
    for step in trace:
        rows = teacher_forced(model, source, live)
        for item in step:
            ids = [*live[item.parent], item.piece]
            found.append(item.log_prob)
            expected.append(float(rows[item.parent][range(len(ids)), ids].sum()))
        live = [[*live[item.parent], item.piece] for item in step if item.fate == "kept"]
    return torch.tensor(found, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)


def main() -> None:
    worst: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)

    def take(name: str, value: float) -> None:
        worst[name], counts[name] = max(worst[name], value), counts[name] + 1

    for dtype in TOLERANCE:
        for backend, n_replicas, case in product(backends(dtype), (1, 2), cases()):
            take(f"training, {dtype}, {backend}", training_difference(case, dtype, backend, n_replicas))
        for backend, share, case in product(backends(dtype), (0.0, 0.2), cases(dropout=0.2)):
            with_weights = replace(case, attention_dropout=share)
            take(f"dropout, {dtype}, {backend}", dropout_difference(with_weights, dtype, backend))
        for case in cases():
            take(f"decoding, {dtype}, torch", decoding_difference(case, dtype))
    if load_library() is not None:
        for precision, case in product(NATIVE_TOLERANCE, cases()):
            take(f"decoding, {precision}, native", native_decoding_difference(case, precision))
    for backend, n_replicas, case in product(backends(torch.float32), (1, 2), cases()):
        ratio = bfloat16_ratio(case, backend, n_replicas)
        take(f"training, bfloat16, {backend}: times the reference's error", ratio)
    for name, value in worst.items():
        print(f"{name}: {counts[name]} cases, largest {value:.2g}")


if __name__ == "__main__":
    main()
