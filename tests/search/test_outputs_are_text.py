"""The output of every model, trained or not, is a line of valid text."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.building import build_model
from translator.config import Config, ModelConfig, SearchConfig, TokenizerConfig, TrainConfig
from translator.data.tokenizer import Tokenizer
from translator.symbols import EOS, NEVER_EMITTED
from translator.translation.inference import Translator

#: Control characters in it become pieces of the vocabulary.
CORPUS = [
    "Le chat dort sur la chaise.",
    "The cat is sleeping on the chair.",
    "Une colonne\tet une autre\tcolonne\r",
    "A column\tand another\tcolumn\r",
    "« Où est ma sœur ? » dit-il.",
    "“Where is my sister?” he said.",
] * 5

CONTROL_CHARACTERS = {chr(code) for code in [*range(0x20), 0x7F]}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    tokenizer, _ = Tokenizer.train(CORPUS, TokenizerConfig(vocabulary_size=320))
    assert any("\t" in piece for piece in tokenizer.pieces(range(len(tokenizer))))
    return tokenizer


def untrained(tokenizer: Tokenizer, seed: int) -> Translator:
    """Return a translator with random weights, whose outputs are of many pieces and lengths."""
    torch.manual_seed(seed)
    shape = ModelConfig(
        width=16, n_heads=2, feed_forward=32, n_encoder_layers=1, n_decoder_layers=1, max_length=24
    )
    model = build_model(shape, len(tokenizer)).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and name != "embedding.weight":
            parameter.data *= 3
    model.embedding.weight.data[EOS] *= 3
    config = Config(
        train=TrainConfig(max_steps=1),
        model=shape,
        search=SearchConfig(max_length_ratio=1.0, max_length_offset=5),
    )
    return Translator(model, tokenizer, config)


@pytest.fixture(scope="module")
def translators(tokenizer: Tokenizer) -> list[Translator]:
    return [untrained(tokenizer, seed) for seed in range(6)]


TEXTS = ["Où est le chat ?", "x", "\u2028", "a\0b", "😀🇫🇷", "مرحبا", "▁", "mot " * 60, "\ud800", "\t\x1b[0m."]


def assert_is_a_line_of_text(text: str) -> None:
    assert not CONTROL_CHARACTERS & set(text)
    assert text.encode("utf-8").decode("utf-8") == text  # no lone surrogate


@pytest.mark.parametrize("beam_size", [1, 3])
def test_untrained_models_write_lines_of_text(translators: list[Translator], beam_size: int) -> None:
    written: set[str] = set()
    for translator in translators:
        translations = translator.translate(TEXTS, beam_size=beam_size, n_best=beam_size)
        assert len(translations) == len(TEXTS)
        for text, translation in zip(TEXTS, translations, strict=True):
            if text.strip():
                assert translation.n_parts >= 1
                assert len(translation.candidates) == beam_size
            else:
                assert (translation.text, translation.n_parts) == ("", 0)
            for candidate in translation.candidates:
                assert_is_a_line_of_text(candidate.text)
                written |= set(candidate.text)
    assert len(written) > 20


@pytest.mark.parametrize("beam_size", [1, 3])
def test_control_other_searches_write_control_characters(
    translators: list[Translator], tokenizer: Tokenizer, beam_size: int
) -> None:
    unsafe = Tokenizer(tokenizer.model)
    unsafe.never_emitted = list(NEVER_EMITTED)
    written: set[str] = set()
    for translator in translators:
        other = Translator(translator.model, unsafe, translator.config)
        written |= {c for t in other.translate(TEXTS, beam_size=beam_size) for c in t.text}
    assert CONTROL_CHARACTERS & written


@pytest.mark.slow
@settings(max_examples=40)
@given(text=st.text(min_size=1, max_size=12), seed=st.integers(0, 5), beam_size=st.integers(1, 3))
def test_any_text_gives_a_line_of_text(
    translators: list[Translator], text: str, seed: int, beam_size: int
) -> None:
    [translation] = translators[seed].translate([text], beam_size=beam_size)
    assert (translation.n_parts > 0) == bool(text.strip())
    assert_is_a_line_of_text(translation.text)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_every_output_has_a_piece_and_no_special_one(
    tokenizer: Tokenizer, translators: list[Translator], beam_size: int
) -> None:
    forbidden = {*tokenizer.never_emitted, EOS}
    assert {*NEVER_EMITTED} < forbidden
    sources = tokenizer.encode_batch([text for text in TEXTS if text.strip() and len(text) < 20])
    n_shortest = 0
    for translator in translators:
        options = translator.config.search.model_copy(update={"beam_size": beam_size})
        for result in translator.search(sources, options, n_best=beam_size):
            for hypothesis in result.hypotheses:
                assert len(hypothesis.ids) >= 1
                assert not forbidden & set(hypothesis.ids)
                n_shortest += len(hypothesis.ids) == 1
    assert n_shortest > 0  # some would have ended at once
