"""Validation: loss and perplexity per real token, BLEU over every line, both of the averaged weights."""

import csv
import math
import re
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from translator.building import build_model
from translator.config import Config
from translator.data import corpus
from translator.data.batching import Batch, Position, make_batch
from translator.data.noise import upper_case, without_accents, without_final_mark
from translator.data.preparation import prepare
from translator.evaluation.metrics import bleu
from translator.model_folder import load_model_folder
from translator.symbols import EOS, PAD
from translator.training import data as training_data
from translator.training.data import TranslationData
from translator.training.module import TranslationModule
from translator.training.run import train
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

OPTIONS = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "train.max_steps=12",
    "train.ema_decay=0.8",
    "train.accumulate=2",
    "validation.every_steps=100",
    "validation.n_samples=0",
)


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


def last_validation(model: Path) -> dict[str, float]:
    [path] = (model.parent / "logs").glob("version_*/metrics.csv")
    with path.open(newline="") as file:
        row = [row for row in csv.DictReader(file) if row["val_loss"]][-1]
    return {name: float(row[name]) for name in ("val_loss", "val_perplexity", "val_bleu")}


def write_validation(corpus: Path, pairs: list[tuple[str, str]]) -> None:
    for side, language in enumerate(("fr", "en")):
        text = "".join(f"{pair[side]}\n" for pair in pairs)
        (corpus / f"val.{language}").write_text(text, encoding="utf-8", newline="\n")


@torch.no_grad()
def losses(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Smoothed and plain loss a token, one pair at a time, so that nothing is padded."""
    smoothed = plain = n_tokens = 0.0
    for source, target in pairs:
        lines = make_batch([tokenizer.encode(source)], [tokenizer.encode(target)])
        logits = model(lines.source_ids, lines.target_in)[0]
        smoothed += float(F.cross_entropy(logits, lines.target_out[0], label_smoothing=0.1, reduction="sum"))
        plain += float(F.cross_entropy(logits, lines.target_out[0], reduction="sum"))
        n_tokens += lines.target_out.numel()
    return smoothed / n_tokens, plain / n_tokens


PAIRS = [
    ("Oui.", "Yes."),
    ("Où est la clé de la maison ?", "Where is the key of the house?"),
    ("Le chat court.", "The cat, which is old and grey, is running towards the little river."),
]


def test_loss_and_perplexity_are_per_real_token(
    tiny_config: MakeConfig, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_validation(tiny_corpus, PAIRS)
    model = train(tiny_config(*OPTIONS), name="together")
    monkeypatch.setattr(training_data, "VALIDATION_CHUNK", 1)
    alone = train(tiny_config(*OPTIONS), name="alone")
    assert model is not None
    assert alone is not None
    bundle = load_model_folder(model)
    smoothed, plain = losses(bundle.model, bundle.tokenizer, PAIRS)
    found = last_validation(model)
    assert found["val_loss"] == pytest.approx(plain, rel=1e-5)  # not smoothed, as the training loss
    assert found["val_perplexity"] == pytest.approx(math.exp(plain), rel=1e-5)
    assert last_validation(alone)["val_loss"] == pytest.approx(found["val_loss"], rel=1e-6)
    # Control: the mean of each pair's mean is another number.
    means = [losses(bundle.model, bundle.tokenizer, [pair])[1] for pair in PAIRS]
    assert abs(sum(means) / len(means) - plain) > 1e-3
    assert abs(smoothed - plain) > 1e-3


def test_bleu_is_over_all_lines_blank_and_overlong_ones_too(
    tiny_config: MakeConfig, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = " ".join(["Le chat dort sur la chaise."] * 12)  # far above model.max_length=64
    pairs = [(" ", ""), (long, long), *PAIRS, ("", "Nothing."), ("Merci.", "\u2028")]
    write_validation(tiny_corpus, pairs)
    scored: list[tuple[list[str], list[str]]] = []

    def note(texts: list[str], references: list[str]) -> float:
        scored.append((list(texts), list(references)))
        return bleu(texts, references)

    monkeypatch.setattr("translator.training.validation.bleu", note)
    model = train(tiny_config(*OPTIONS), name="tiny")
    assert model is not None
    [(texts, references)] = scored
    assert references == [target for _, target in pairs]
    bundle = load_model_folder(model)
    translator = Translator(bundle.model, bundle.tokenizer, bundle.config)
    expected = translator.translate([source for source, _ in pairs], beam_size=1)
    assert texts == [translation.text for translation in expected]
    assert [bool(text) for text in texts] == [False, True, True, True, True, False, True]
    assert expected[1].n_parts == 12
    assert last_validation(model)["val_bleu"] == pytest.approx(bleu(texts, references), abs=1e-4)
    # The loss is over the pairs that the model takes.
    taken = losses(bundle.model, bundle.tokenizer, [*PAIRS, ("Merci.", "\u2028")])[1]
    assert last_validation(model)["val_loss"] == pytest.approx(taken, rel=1e-5)


def test_the_average_is_the_one_computed_by_hand(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_each_step: list[list[Tensor]] = []
    account = TranslationModule.record_step

    def note(module: TranslationModule, batch: Batch) -> None:
        after_each_step.append([p.detach().double().clone() for p in module.model.parameters()])
        account(module, batch)

    monkeypatch.setattr(TranslationModule, "record_step", note)
    model = train(tiny_config(*OPTIONS), name="tiny")
    assert model is not None
    assert len(after_each_step) == 12

    def average(decay_of: Callable[[int], float]) -> Tensor:
        means = after_each_step[0]
        for n, current in enumerate(after_each_step[1:], start=1):
            decay = decay_of(n)
            means = [decay * mean + (1 - decay) * now for mean, now in zip(means, current, strict=True)]
        return flat(means)

    ours = flat([p.double() for p in load_model_folder(model).model.parameters()])
    by_hand = average(lambda n: min(0.8, (1 + n) / (10 + n)))
    torch.testing.assert_close(ours, by_hand, rtol=1e-5, atol=1e-6)
    # Controls: no average, a memory of full length from the start, one update more at the end.
    for other in (flat(after_each_step[-1]), average(lambda n: 0.8), average(lambda n: (1 + n) / (2 + n))):
        assert (ours - other).abs().max() > 1e-4


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def test_without_averaging_the_last_weights_are_kept(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    last: list[Tensor] = []
    account = TranslationModule.record_step

    def note(module: TranslationModule, batch: Batch) -> None:
        last[:] = [parameter.detach().clone() for parameter in module.model.parameters()]
        account(module, batch)

    monkeypatch.setattr(TranslationModule, "record_step", note)
    model = train(tiny_config(*OPTIONS, "train.ema_decay=null"), name="tiny")
    assert model is not None
    assert torch.equal(flat(list(load_model_folder(model).model.parameters())), flat(last))


# -- what the module is fed ------------------------------------------------------------------------------


class Prepared:
    """As much of a prepared corpus as the loaders look at."""

    tokenizer = None


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_ranks_share_the_validation_lines_and_have_as_many_chunks(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, n_ranks: int
) -> None:
    monkeypatch.setattr(training_data, "VALIDATION_CHUNK", 4)
    texts = [f"{'x' * (i * 7 % 10)}{i}" for i in range(17)]
    validation = {"source": texts, "target": [text.upper() for text in texts]}
    data = TranslationData(tiny_config(), Prepared(), validation)  # type: ignore[arg-type]
    chunks = []
    for rank in range(n_ranks):
        data.trainer = Rank(rank, n_ranks)  # type: ignore[assignment]
        chunks.append(list(data.val_dataloader()))
    # A rank that ended sooner would leave the others waiting in the model's synchronisation.
    assert len({len(of_rank) for of_rank in chunks}) == 1
    lines = [chunk for of_rank in chunks for chunk in of_rank]
    assert sorted(row for chunk in lines for row in chunk.rows) == list(range(17))
    assert all(len(chunk.rows) <= 4 for chunk in lines)
    for chunk in lines:
        assert chunk.sources == [texts[row] for row in chunk.rows]
        assert chunk.references == [texts[row].upper() for row in chunk.rows]


class Rank:
    def __init__(self, rank: int, n_ranks: int):
        self.global_rank, self.world_size = rank, n_ranks


def test_sampled_pieces_are_the_same_text_and_never_too_long(tiny_config: MakeConfig) -> None:
    config = tiny_config("tokenizer.dropout=0.5", "model.max_length=30")
    prepared = prepare(config)
    validation = corpus.open_split(config.data, "val", seed=1)

    def first(n: int, *, seed: int) -> list[Batch]:
        options = ("tokenizer.dropout=0.5", "model.max_length=30", f"train.seed={seed}")
        data = TranslationData(tiny_config(*options), prepared, validation)
        return [batch for batch, _ in zip(data.train_dataloader(), range(n), strict=False)]

    batches, again, other = first(12, seed=1), first(12, seed=1), first(12, seed=2)
    assert [b.target_out.tolist() for b in batches] == [b.target_out.tolist() for b in again]
    assert [b.target_out.tolist() for b in batches] != [b.target_out.tolist() for b in other]
    usual = {tuple(ids) for ids in prepared.train["target_ids"]}
    texts = set(prepared.texts["target"])
    n_changed = n_rows = 0
    for batch in batches:
        assert batch.target_out.size(1) <= 30
        assert batch.source_ids.size(1) <= 30
        assert batch.n_step_tokens == int((batch.target_out != PAD).sum())
        for row in batch.target_out.tolist():
            ids = [i for i in row if i > 3]
            assert prepared.tokenizer.decode(ids) in texts
            n_changed += tuple(ids) not in usual
            n_rows += 1
    assert n_changed > n_rows / 4


NOISE = "data.noise={accents: 0.5, upper: 0.3, final: 0.5}"


def first_epoch(data: TranslationData) -> dict[tuple[int, ...], list[int]]:
    """Target ids → source ids of the first epoch's pairs."""
    found: dict[tuple[int, ...], list[int]] = {}
    for batch in takewhile(lambda batch: batch.epochs <= 1, data.train_dataloader()):
        assert batch.n_step_tokens == int((batch.target_out != PAD).sum())
        for source, target in zip(batch.source_ids.tolist(), batch.target_out.tolist(), strict=True):
            found[tuple(i for i in target if i != PAD)] = [i for i in source if i != PAD]
    return found


def test_noise_is_in_the_sources_alone_and_none_is_too_long(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(tiny_config("model.max_length=30"))

    def epoch(*overrides: str) -> dict[tuple[int, ...], list[int]]:
        config = tiny_config("model.max_length=30", *overrides)
        return first_epoch(TranslationData(config, prepared, {"source": [], "target": []}))

    plain, noised, decode = epoch(), epoch(NOISE), prepared.tokenizer.decode
    assert list(plain) == list(noised)  # the targets, and their order
    pairs = list(zip(plain.values(), noised.values(), strict=True))
    assert len(pairs) / 4 < sum(old != new for old, new in pairs) < len(pairs)
    for old, new in pairs:
        assert len(new) <= 30
        ways = {decode(old)}
        for kind in (without_accents, upper_case, without_final_mark):
            ways |= {kind(way) for way in ways}
        assert decode(new) in ways
    assert epoch(NOISE, "train.max_tokens_per_batch=60") == noised  # in other batches
    assert epoch(NOISE, "train.seed=2") != noised
    # In capitals half are too long for a smaller model, and, with a lower limit, all for their batch.
    capitals = "data.noise={upper: 1.0}"
    assert {decode(source).isupper() for source in epoch(capitals).values()} == {True}
    middle = sorted(map(len, plain.values()))[len(plain) // 2]
    few = epoch(capitals, f"model.max_length={middle}").values()
    assert {decode(source).isupper() for source in few} == {True, False}
    monkeypatch.setattr("translator.training.data.MAX_GROWTH", 0.5)
    assert epoch(capitals) == plain


def test_noise_with_sampled_pieces_is_the_same_noise(tiny_config: MakeConfig) -> None:
    config = tiny_config(NOISE, "tokenizer.dropout=0.3")
    prepared = prepare(config)
    both = TranslationData(config, prepared, {"source": [], "target": []})
    alone = TranslationData(tiny_config(NOISE), prepared, {"source": [], "target": []})
    rows, at = range(len(prepared.train)), Position(1, 0)
    decode = prepared.tokenizer.decode
    expected = [decode(ids) for ids in alone._sample(rows, at)[0]]
    sampled = both._sample(rows, at)
    assert [decode(ids) for ids in sampled[0]] == expected != prepared.texts["source"][:]
    assert [decode(ids) for ids in sampled[1]] == prepared.texts["target"][:]
    assert sampled[1] != prepared.train["target_ids"][:]


def test_copies_follow_the_pairs_of_a_batch_and_count_as_its_tokens(tiny_config: MakeConfig) -> None:
    prepared = prepare(tiny_config())

    def first(*overrides: str) -> Batch:
        data = TranslationData(tiny_config(*overrides), prepared, {"source": [], "target": []})
        return next(iter(data.train_dataloader()))

    plain, copied = first("data.copies=0"), first("data.copies=0.5")
    n_pairs = len(plain.source_ids)
    assert len(copied.source_ids) == n_pairs + round(0.5 * n_pairs)
    assert copied.n_step_tokens > plain.n_step_tokens
    assert copied.position == plain.position
    rows = [
        (source[source > EOS], target[target > EOS])
        for source, target in zip(copied.source_ids, copied.target_out, strict=True)
    ]
    for (_, target), expected in zip(rows[:n_pairs], plain.target_out, strict=False):
        assert target.tolist() == expected[expected > EOS].tolist()
    for source, target in rows[n_pairs:]:
        assert source.tolist()[-len(target) :] == target.tolist()
    assert torch.equal(first("data.copies=0.5").source_ids, copied.source_ids)
    other = first("data.copies=0.5", "train.seed=2").source_ids
    assert other.shape != copied.source_ids.shape or not torch.equal(other, copied.source_ids)


def test_names_and_numbers_are_replaced_on_both_sides_within_the_maximum_length(
    tiny_config: MakeConfig, tiny_corpus: Path
) -> None:
    for language, text in (("fr", "Paul a vu Lyon en 1987."), ("en", "Paul saw Lyon in 1987.")):
        with (tiny_corpus / f"train.{language}").open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    prepared = prepare(tiny_config())
    rows, decode = [len(prepared.train) - 1] * 8, prepared.tokenizer.decode

    def sampled(*overrides: str, epoch: int = 0) -> list[tuple[list[int], list[int]]]:
        data = TranslationData(tiny_config(*overrides), prepared, {"source": [], "target": []})
        return list(zip(*data._sample(rows, Position(epoch, 0)), strict=True))

    everything = "data.random_names=1"
    texts = {(decode(source), decode(target)) for source, target in sampled(everything)}
    assert len(texts) > 4
    for source, target in texts:
        match = re.fullmatch(r"([\w'-]+) a vu ([\w'-]+) en (\d{4})\.", source)
        assert match, source
        assert target == "{} saw {} in {}.".format(*match.groups())
        assert source != "Paul a vu Lyon en 1987."
    assert sampled(everything) == sampled(everything) != sampled(everything, epoch=1)
    usual = sampled("data.random_names=0", "data.copies=0")
    assert {decode(source) for source, _ in usual} == {"Paul a vu Lyon en 1987."}
    length = max(map(len, usual[0])) + 1
    short = sampled(everything, f"model.max_length={length}")
    assert max(len(ids) for pair in short for ids in pair) < length
    assert any(pair == usual[0] for pair in short)


def test_weight_decay_is_on_matrices_only(tiny_config: MakeConfig) -> None:
    config = tiny_config("train.weight_decay=0.3", "train.adam_betas=[0.8, 0.95]")
    module = TranslationModule(build_model(config.model, 300), config)
    module._trainer = type("T", (), {"precision": "32-true"})()  # type: ignore[assignment]
    groups = module.configure_optimizers().param_groups  # type: ignore[union-attr]
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert {p.dim() for p in groups[0]["params"]} == {2}
    assert {p.dim() for p in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))
    assert groups[0]["betas"] == (0.8, 0.95)


def test_gradients_are_clipped_to_the_norm(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            loss = closure()
            gradients = [p.grad for group in self.param_groups for p in group["params"]]
            norms.append(float(torch.cat([g.flatten() for g in gradients if g is not None]).norm()))
            return super().step(lambda: loss)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    train(tiny_config(*OPTIONS, "train.max_steps=3", "train.clip_norm=0.05"), name="clipped")
    assert norms == pytest.approx([0.05] * 3, rel=1e-4)
    norms.clear()
    train(tiny_config(*OPTIONS, "train.max_steps=3", "train.clip_norm=null"), name="free")
    assert min(norms) > 0.5  # control
