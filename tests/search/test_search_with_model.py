"""Search with a tiny model that has memorised eight sentences: scores and batches."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from translator.config import Config, ModelConfig, SearchConfig, TrainConfig
from translator.data.batching import make_batch, pad
from translator.engine import native_library, torch_search
from translator.engine.decoding import DecodingEngine
from translator.engine.native_decoding import Precision
from translator.engine.torch_search import EngineStepper
from translator.model.layers import LayerOptions
from translator.model.transformer import Transformer
from translator.search.beam import search
from translator.search.result import Result, SearchOptions
from translator.symbols import EOS, NEVER_EMITTED, PAD
from translator.translation import parallel
from translator.translation.decoders import DecodingBackend
from translator.translation.inference import Translator

VOCABULARY_SIZE = 24
OPTIONS = LayerOptions(width=32, n_heads=4, feed_forward=64)
SHAPE = ModelConfig(
    width=32, n_heads=4, feed_forward=64, n_encoder_layers=1, n_decoder_layers=2, max_length=32
)
needs_c = pytest.mark.skipif(
    native_library.load_library() is None, reason=f"no C operations: {native_library.problem()}"
)
BACKENDS = pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_c), "torch", "reference"])
SEARCH = SearchConfig(beam_size=4, max_length_ratio=1.0, max_length_offset=7)


class Learnt(NamedTuple):
    """A model and the eight pairs that it was trained on."""

    model: Transformer
    sources: list[list[int]]
    targets: list[list[int]]
    losses: list[float]


def random_ids(n: int, *, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (n,), generator=generator).tolist()
    return [torch.randint(4, VOCABULARY_SIZE, (length,), generator=generator).tolist() for length in lengths]


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    torch.manual_seed(1)
    model = Transformer(VOCABULARY_SIZE, OPTIONS, n_encoder_layers=1, n_decoder_layers=2, max_length=32)
    sources, targets = random_ids(8, seed=1), random_ids(8, seed=2)
    batch = make_batch(sources, targets)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(120):
        logits = model(batch.source_ids, batch.target_in)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return Learnt(model.eval(), sources, targets, losses)


def translator_of(
    model: Transformer, backend: DecodingBackend, precision: Precision = "float32"
) -> Translator:
    """Return a `Translator` that can `search`, with nothing of a tokenizer but what it may not emit."""
    config = Config(train=TrainConfig(max_steps=1), model=SHAPE, search=SEARCH)
    tokenizer = SimpleNamespace(never_emitted=list(NEVER_EMITTED))
    return Translator(model, tokenizer, config, backend=backend, precision=precision)  # type: ignore[arg-type]


def ids_of(results: Sequence[Result]) -> list[list[list[int]]]:
    return [[hypothesis.ids for hypothesis in result.hypotheses] for result in results]


@torch.no_grad()
def teacher_forced(model: Transformer, source: list[int], target: list[int]) -> float:
    """Return Σ log p of a target, read at once and alone."""
    batch = make_batch([source], [target])
    log_probs = model(batch.source_ids, batch.target_in).log_softmax(-1)
    return log_probs.gather(2, batch.target_out[..., None]).double().sum().item()


# --- Learning -----------------------------------------------------------------------------------------


@BACKENDS
def test_eight_pairs_are_learnt_by_heart(learnt: Learnt, backend: DecodingBackend) -> None:
    assert learnt.losses[0] > 3
    assert learnt.losses[-1] < 0.02
    translator = translator_of(learnt.model, backend)
    assert type(translator.decoder).__name__ == ("NativeDecoder" if backend == "native" else "TorchDecoder")
    expected = [[target] for target in learnt.targets]
    for beam_size in (1, 4):
        options = SEARCH.model_copy(update={"beam_size": beam_size})
        assert ids_of(translator.search(learnt.sources, options)) == expected
        # Control: it is the source that decides.
        assert ids_of(translator.search(learnt.sources[::-1], options)) != expected


# --- Scores -------------------------------------------------------------------------------------------


class DoubleStepper(EngineStepper):
    """The model's stepper without its rounding to float32."""

    def step(self, tokens: Tensor) -> Tensor:
        return self.engine.step(tokens, self.state).log_softmax(-1)


@pytest.fixture
def double(learnt: Learnt) -> Iterator[Transformer]:
    """The learnt model in float64."""
    yield learnt.model.double()
    learnt.model.float()


@torch.inference_mode()
def search_in_double(
    model: Transformer, sources: list[list[int]], *, beam_size: int, n_best: int, prefix: Sequence[int] = ()
) -> list[Result]:
    engine = DecodingEngine(model)
    state = engine.start(engine.encode(pad([[*ids, EOS] for ids in sources])))
    return search(
        DoubleStepper(engine, state),
        torch.tensor([len(ids) + 7 for ids in sources]),
        options=SearchOptions(beam_size, 0.6, NEVER_EMITTED, n_best=n_best, prefix=prefix),
    )


@pytest.mark.parametrize("prefix", [(), (5, 11)])
@pytest.mark.parametrize(("beam_size", "n_best"), [(1, 1), (4, 4)])
def test_search_score_is_the_teacher_forced_score(
    learnt: Learnt, double: Transformer, beam_size: int, n_best: int, prefix: tuple[int, ...]
) -> None:
    sources = random_ids(12, seed=3)
    results = search_in_double(double, sources, beam_size=beam_size, n_best=n_best, prefix=prefix)
    for source, result in zip(sources, results, strict=True):
        assert len(result.hypotheses) >= 1
        for hypothesis in result.hypotheses:
            assert tuple(hypothesis.ids[: len(prefix)]) == prefix
            expected = teacher_forced(double, source, hypothesis.ids)
            assert hypothesis.log_prob == pytest.approx(expected, rel=0, abs=1e-10)
            normalised = expected / (len(hypothesis.ids) + 1) ** 0.6
            assert hypothesis.score == pytest.approx(normalised, rel=0, abs=1e-10)
            # Control: neither another output nor another source has this score.
            other = teacher_forced(double, source, [*hypothesis.ids[:-1], 4 + hypothesis.ids[-1] % 20])
            assert hypothesis.log_prob != pytest.approx(other, rel=0, abs=1e-10)
            other = teacher_forced(double, source[::-1], hypothesis.ids)
            assert source == source[::-1] or hypothesis.log_prob != pytest.approx(other, rel=0, abs=1e-10)


@BACKENDS
@pytest.mark.parametrize("beam_size", [1, 4])
def test_search_score_is_the_teacher_forced_score_in_float32(
    learnt: Learnt, beam_size: int, backend: DecodingBackend
) -> None:
    sources = random_ids(30, seed=4)
    options = SEARCH.model_copy(update={"beam_size": beam_size, "length_penalty": 1.0})
    translator = translator_of(learnt.model, backend)
    results = translator.search(sources, options, n_best=beam_size, batch_size=7)
    for source, result in zip(sources, results, strict=True):
        for hypothesis in result.hypotheses:
            expected = teacher_forced(learnt.model, source, hypothesis.ids)
            assert hypothesis.log_prob == pytest.approx(expected, rel=0, abs=1e-5)
            assert hypothesis.score == pytest.approx(expected / (len(hypothesis.ids) + 1), rel=0, abs=1e-5)
    # Control: the second best has another score.
    firsts, seconds = results[0].hypotheses[0], results[1].hypotheses[0]
    swapped = teacher_forced(learnt.model, sources[0], seconds.ids)
    assert firsts.log_prob != pytest.approx(swapped, rel=0, abs=1e-5)


@BACKENDS
def test_outputs_keep_the_limits_of_their_configuration(learnt: Learnt, backend: DecodingBackend) -> None:
    sources = random_ids(30, seed=5)
    options = SearchConfig(beam_size=2, max_length_ratio=0.5, max_length_offset=2, length_penalty=3.0)
    translator = translator_of(learnt.model, backend)
    lengths = [len(r.hypotheses[0].ids) + 1 for r in translator.search(sources, options)]
    most = [len(source) // 2 + 2 for source in sources]
    assert all(length <= limit for length, limit in zip(lengths, most, strict=True))
    assert any(length == limit for length, limit in zip(lengths, most, strict=True))
    # A prefix comes on top, and a long source still has the model's own limit.
    [forced] = translator.search([sources[0]], options, prefix=[5] * 10)
    assert 11 <= len(forced.hypotheses[0].ids) + 1 <= most[0] + 10
    endless = options.model_copy(update={"max_length_ratio": 3.0})
    [long] = translator.search([[5] * 31], endless)
    assert len(long.hypotheses[0].ids) + 1 <= 32


# --- Batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam_size", [1, 4])
def test_in_float64_no_sentence_feels_its_company(double: Transformer, beam_size: int) -> None:
    sources = random_ids(20, seed=6)
    together = search_in_double(double, sources, beam_size=beam_size, n_best=beam_size)
    for source, result in zip(sources, together, strict=True):
        [alone] = search_in_double(double, [source], beam_size=beam_size, n_best=beam_size)
        assert ids_of([alone]) == ids_of([result])
        for a, b in zip(alone.hypotheses, result.hypotheses, strict=True):
            assert a.score == pytest.approx(b.score, rel=0, abs=1e-10)


def answers_by_batch_size(
    model: Transformer, beam_size: int, *, backend: DecodingBackend, precision: Precision = "float32"
) -> dict[str, list[Result]]:
    """Return the results for 40 sources, batched and ordered in several ways, in the sources' order."""
    sources = random_ids(40, seed=7)
    translator = translator_of(model, backend, precision)
    options = SEARCH.model_copy(update={"beam_size": beam_size})

    def answers(order: Sequence[int], batch_size: int) -> list[Result]:
        shuffled = [sources[i] for i in order]
        results = translator.search(shuffled, options, n_best=min(2, beam_size), batch_size=batch_size)
        by_source = dict(zip(order, results, strict=True))
        return [by_source[i] for i in range(len(sources))]

    in_order = list(range(40))
    random_order = torch.randperm(40, generator=torch.Generator().manual_seed(8)).tolist()
    found = {f"batches of {n}": answers(in_order, n) for n in (1, 2, 7, 64)}
    return found | {"shuffled, batches of 7": answers(random_order, 7)}


@pytest.fixture
def undecided(learnt: Learnt) -> Iterator[Transformer]:
    """The learnt model where each piece has a twin: every choice between the two is a tie."""
    weight = learnt.model.embedding.weight.data
    before = weight.clone()
    weight[14:24] = weight[4:14]
    yield learnt.model
    weight.copy_(before)


class LeakingStepper(EngineStepper):
    """Each sentence hears a little of what its neighbour says."""

    def step(self, tokens: Tensor) -> Tensor:
        log_probs = super().step(tokens)
        return log_probs.lerp(log_probs.roll(1, 0), 0.2)


@needs_c
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_in_c_no_bit_depends_on_its_company(
    undecided: Transformer, beam_size: int, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on its batch nor on the threads beside it: every rounding error would decide a tie."""
    found = answers_by_batch_size(undecided, beam_size, backend="native", precision=precision)
    alone = found["batches of 1"]
    assert len({tuple(result.hypotheses[0].ids) for result in alone}) > 10
    torch.set_num_threads(3)  # `_one_thread` puts it back
    monkeypatch.setattr(parallel, "SMALL_CHUNK", 3)
    found |= {
        f"{way} on three threads": results
        for way, results in answers_by_batch_size(
            undecided, beam_size, backend="native", precision=precision
        ).items()
    }
    torch.set_num_threads(1)
    for way, results in found.items():
        assert results == alone, way


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_in_pytorch_company_changes_rounding_alone(
    learnt: Learnt, beam_size: int, backend: DecodingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def best_scores() -> dict[str, list[float]]:
        found = answers_by_batch_size(learnt.model, beam_size, backend=backend)
        return {way: [r.hypotheses[0].score for r in results] for way, results in found.items()}

    found = best_scores()
    for way, scores in found.items():
        assert scores == pytest.approx(found["batches of 1"], rel=0, abs=1e-5), way
    # Control: a leak between sentences is seen.
    monkeypatch.setattr(torch_search, "EngineStepper", LeakingStepper)
    leaked = best_scores()
    assert leaked["batches of 7"] != pytest.approx(leaked["batches of 1"], rel=0, abs=1e-2)
