"""How well a vocabulary fits a text, counted by hand, and the sentence about it."""

from dataclasses import asdict

import pytest
from datasets import Dataset

from translator.config import DataConfig, TokenizerConfig
from translator.data.tokenizer import Tokenizer
from translator.data.vocabulary_fit import Fit, describe_fit, vocabulary_fit


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["aaaa bbbb"] * 50 + ["b a"], TokenizerConfig(vocabulary_size=300))[0]


def test_pieces_and_bytes_are_counted(tokenizer: Tokenizer) -> None:
    known, foreign = "aaaa bbbb", "aaaa é"
    n_known, n_foreign = (len(tokenizer.encode(text)) for text in (known, foreign))
    texts = Dataset.from_dict({"source": [known, known], "target": [known, foreign]})
    assert vocabulary_fit(tokenizer, texts) == {
        "source": Fit(n_known / 2, 0.0),
        "target": Fit((n_known + n_foreign) / 4, 2 / (n_known + n_foreign)),  # é has two bytes
    }


def test_texts_without_words_do_not_divide_by_zero(tokenizer: Tokenizer) -> None:
    texts = Dataset.from_dict({"source": [""], "target": [""]})
    assert vocabulary_fit(tokenizer, texts) == {"source": Fit(0.0, 0.0), "target": Fit(0.0, 0.0)}


def test_it_is_described_beside_the_corpus_of_the_model() -> None:
    fits, model = {"source": Fit(1.5, 0.01), "target": Fit(1.25, 0)}, {"source": asdict(Fit(1.2, 0.0))}
    own = "vocabulary: fr: 1.50 pieces a word, 1.00% of them bytes"
    target = "; en: 1.25 pieces a word, 0.00% of them bytes"
    assert describe_fit(fits, DataConfig()) == own + target
    compared = " (the model's own corpus: 1.20 pieces a word, 0.00% of them bytes)"
    assert describe_fit(fits, DataConfig(), model) == own + compared + target


@pytest.mark.parametrize("damaged", ["text", 3, [1], {"source": 3}, {"source": {"other": 1}}])
def test_a_manifest_that_says_something_else_is_ignored(damaged: object) -> None:
    fits = {"source": Fit(1.5, 0.01)}
    assert describe_fit(fits, DataConfig(), damaged) == describe_fit(fits, DataConfig())
