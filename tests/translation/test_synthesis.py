"""Machine-made translations: those of `translate`, or samples that depend on seed, number and text alone."""

import pytest
from phrases import Trained

from translator import Translator
from translator.engine import native_library
from translator.translation.joining import Translation
from translator.translation.synthesis import synthesize

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def translator(trained: Trained) -> Translator:
    return Translator.load(trained.model, backend="torch")


@pytest.fixture(scope="module")
def texts(trained: Trained) -> list[str]:
    """Short texts, a blank one, and one that is translated in several parts."""
    return [*trained.lines("test.fr"), " ", "Le chat dort dans la maison. " * 12, *trained.lines("val.fr")]


def test_a_beam_finds_what_translate_finds(translator: Translator, texts: list[str]) -> None:
    found = synthesize(translator, texts, beam_size=2)
    assert [each.text for each in found] == [each.text for each in translator.translate(texts, beam_size=2)]
    assert [each.n_parts for each in found[9:13]] == [1, 0, found[11].n_parts, 1]
    assert found[11].n_parts > 1
    targets = [each.text for each in found]
    n_pieces = [len(ids) + 1 for ids in translator.tokenizer.encode_batch(targets)]
    # The score of a translation of one part is its log-probability per piece, whatever the length penalty is.
    assert translator.config.search.length_penalty != 0
    whole = [i for i, each in enumerate(found) if each.n_parts == 1]
    log_probs = translator.score([texts[i] for i in whole], [targets[i] for i in whole])
    for i, log_prob in zip(whole, log_probs, strict=True):
        assert found[i].score == pytest.approx(log_prob / n_pieces[i], abs=1e-4)


def outputs(found: list[Translation]) -> list[str]:
    return [each.text for each in found]


def test_samples_depend_on_seed_number_and_text(translator: Translator, texts: list[str]) -> None:
    def sampled(seed: int, batch_size: int = 128) -> list[str]:
        return outputs(synthesize(translator, texts, seed=seed, batch_size=batch_size))

    together = sampled(1)
    assert sampled(1, batch_size=3) == sampled(1) == together
    for number, text in enumerate(texts, start=1):
        assert outputs(synthesize(translator, [text], seed=1, first_number=number)) == [together[number - 1]]
    assert [bool(text) for text in together] == [bool(text.strip()) for text in texts]
    # Controls: another seed, another number and no sampling give other outputs.
    n = len(texts) // 2
    assert sum(a != b for a, b in zip(together, sampled(2), strict=True)) > n
    shifted = outputs(synthesize(translator, texts, seed=1, first_number=2))
    assert sum(a != b for a, b in zip(together, shifted, strict=True)) > n
    assert sum(a != b for a, b in zip(together, outputs(synthesize(translator, texts)), strict=True)) > n


def test_equal_texts_and_the_parts_of_a_text_are_sampled_independently(translator: Translator) -> None:
    equal = outputs(synthesize(translator, ["La reine chante."] * 30, seed=5))
    assert len(set(equal)) > 10
    lines = synthesize(translator, ["\n".join(["La reine chante."] * 30)], seed=5)[0]
    assert lines.n_parts == 30
    assert len(set(lines.text.split("\n"))) > 10


@pytest.mark.skipif(native_library.load_library() is None, reason="no C operations")
def test_c_does_not_sample(trained: Trained) -> None:
    with pytest.raises(ValueError, match="load the model with backend='torch'"):
        synthesize(Translator.load(trained.model), ["La reine chante."], seed=1)
