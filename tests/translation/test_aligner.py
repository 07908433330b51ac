"""Word alignment with a trained model, for all kinds of text."""

from typing import Any

import pytest
import torch
from phrases import Trained
from torch import Tensor

from translator.alignment.links import Gold, Link
from translator.alignment.words import detokenize, words
from translator.errors import DataError, UsageError
from translator.model.layers import AttentionMaps
from translator.translation.aligner import Aligner
from translator.translation.evaluator import evaluate_alignments
from translator.translation.inference import Translator
from translator.translation.splitting import SplitSentences

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

#: What breaks careless code: blank, odd spaces, long, spelled in bytes, odd code points.
HARD = [
    "Le chat dort dans la maison.",
    "",
    " \t\u00a0",
    "x" * 300,
    "Le chat dort dans la maison et la reine chante sous le pont, " * 8,
    "Ma  sœur\u2028chante\u0085à\tLyon .",
    "\u2581Le\u2581chat",
    "🐈 😀👩‍👩‍👧 dort e\u0301te\u0301",
    "القطة تنام في البيت",
    "\ud800 seul\udc00",
    "\ufeff\u200b",
    "a" + " b" * 150,
]


@pytest.fixture(scope="module")
def translator(trained: Trained) -> Translator:
    return Translator.load(trained.model)


def in_range(links: list[Link], source: list[str], target: list[str]) -> bool:
    return all(0 <= i < len(source) and 0 <= j < len(target) for i, j in links) and links == sorted(
        set(links)
    )


@pytest.fixture
def reader(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Translator:
    """A translator of two layers: at the step that writes the nth piece, the second layer looks at the nth of
    the source, the first layer always at the first."""
    translator = Translator.load(trained.model)

    def attention_maps(source_ids: Tensor, target_in: Tensor) -> tuple[AttentionMaps, AttentionMaps]:
        n_source, n_target = source_ids.size(1), target_in.size(1)
        right, wrong, even = torch.zeros(3, 1, 2, n_target, n_source)
        right[0, :] = torch.eye(n_target, n_source)
        wrong[0, :, :, 0] = 1
        even[:] = 1 / n_source
        first, second = wrong, right.clone()
        second[:, 0] = even[:, 0]  # one head of two knows nothing
        layers = [layer.expand(len(source_ids), -1, -1, -1) for layer in (first, second)]
        return AttentionMaps(), AttentionMaps(cross_attention=layers)

    model = translator.config.model.model_copy(update={"n_decoder_layers": 2})
    changed = translator.config.model_copy(update={"model": model})
    monkeypatch.setattr(translator.model, "attention_maps", attention_maps)
    translator.model.embedding.weight.data.zero_()  # so that attention alone decides
    monkeypatch.setattr(translator, "config", changed)
    return translator


def test_similar_words_are_linked_where_attention_says_nothing(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = Translator.load(trained.model)

    def attention_maps(source_ids: Tensor, target_in: Tensor) -> tuple[AttentionMaps, AttentionMaps]:
        even = torch.full((len(source_ids), 2, target_in.size(1), source_ids.size(1)), 0.1)
        even[..., -1] = 0  # the end symbol
        return AttentionMaps(), AttentionMaps(cross_attention=[even])

    monkeypatch.setattr(translator.model, "attention_maps", attention_maps)
    text, weight = "Le chat dort.", translator.model.embedding.weight
    random = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    for vectors, is_diagonal in ((random, True), (torch.zeros(weight.shape), False)):
        weight.data.copy_(vectors)
        [links] = Aligner(translator).align([text], [text])
        assert (links == [(i, i) for i in range(4)]) == is_diagonal


def test_links_are_right_where_the_right_layer_is_read_at_the_right_step(
    trained: Trained, reader: Translator
) -> None:
    texts = trained.lines("test.fr")
    gold = [
        Gold(links, links) for text in texts if (links := frozenset((i, i) for i in range(len(words(text)))))
    ]

    def error(**options: Any) -> float:
        scores = evaluate_alignments(Aligner(reader, **options), texts, texts, gold=gold)
        assert scores["diagonal"].aer == 0
        return scores["one_way"].aer

    assert error(layer=2) == 0
    # The controls: another layer, and the same one a step late.
    assert error(layer=1) > 0.3
    assert error(layer=2, reading="input") > 0.3
    assert Aligner(reader).layers == [1, 2]
    assert error() == 0  # together they still know


@pytest.mark.parametrize("tokenized", [False, True])
@pytest.mark.parametrize("way", ["always", "never"])
def test_any_text_is_aligned_line_by_line(trained: Trained, way: SplitSentences, tokenized: bool) -> None:
    translator = Translator.load(trained.model, split_sentences=way)
    sources, targets = [*HARD, *HARD, HARD[4]], [*HARD, *reversed(HARD), "The cat."]
    found = Aligner(translator).align(sources, targets, tokenized=tokenized, batch_size=7)
    assert len(found) == len(sources)
    for source, target, links in zip(sources, targets, found, strict=True):
        given = [text.split(" ") if tokenized else words(text) for text in (source, target)]
        assert in_range(links, *([word for word in side if word] for side in given))
        if not (source.strip(" ") and target.strip(" ")):
            assert links == []
    assert found[0] != []
    assert found[4] != []


def test_a_long_pair_is_aligned_to_its_end(reader: Translator) -> None:
    """Both sides are cut at the same share of their words, and the words are counted through."""
    text = "Le chat dort à Lyon. " * 20
    n_words = len(words(text))
    assert len(reader.tokenizer.encode(text)) > reader.config.model.max_length  # it is cut
    [links] = Aligner(reader, layer=2).align([text], [text])
    assert links == [(i, i) for i in range(n_words)]
    [wrong] = Aligner(reader, layer=1).align([text], [text])  # the control
    assert len(set(wrong) & set(links)) < n_words / 4


def test_the_company_of_a_pair_changes_nothing(trained: Trained, translator: Translator) -> None:
    sources, targets = trained.lines("test.fr"), trained.lines("test.en")
    aligner = Aligner(translator)
    alone = [aligner.align([source], [target])[0] for source, target in zip(sources, targets, strict=True)]
    assert aligner.align(sources, targets, batch_size=4) == alone
    assert aligner.align(sources, targets[::-1]) != alone


def test_words_with_spaces_between_them_give_the_same_links(translator: Translator) -> None:
    source, target = "L’enfant ne mange pas au marché.", "The child does not eat at the market."
    spaced = [" ".join(words(source))], [" ".join(words(target))]
    assert spaced != ([source], [target])
    assert detokenize(words(source), language="fr").strip() == source
    aligner = Aligner(translator)
    assert aligner.align(*spaced, tokenized=True) == aligner.align([source], [target])
    # As given, the full stop is part of the last word.
    [links] = aligner.align([source], [target], tokenized=True)
    assert in_range(links, source.split(" "), target.split(" "))


def test_sentences_that_are_translated_one_by_one_are_aligned_one_by_one(trained: Trained) -> None:
    translator = Translator.load(trained.model, split_sentences="always")
    pairs = [("Le chat dort.", "The cat is sleeping."), ("Où est la gare ?", "Where is the station?")]
    aligner = Aligner(translator)
    first, second = aligner.align([s for s, _ in pairs], [t for _, t in pairs])
    [both] = aligner.align([" ".join(s for s, _ in pairs)], [" ".join(t for _, t in pairs)])
    n_source, n_target = len(words(pairs[0][0])), len(words(pairs[0][1]))
    assert both == [*first, *((n_source + i, n_target + j) for i, j in second)]
    # Of unlike numbers of sentences the whole is aligned.
    whole = Aligner(Translator.load(trained.model, split_sentences="never"))
    unlike = [" ".join(s for s, _ in pairs)], ["The cat is sleeping, where is the station?"]
    assert aligner.align(*unlike) == whole.align(*unlike)


def test_the_layers_that_are_read(translator: Translator) -> None:
    assert Aligner(translator).layers == [1]
    assert Aligner(translator, layer=1).layers == [1]
    for layer in (0, 2):
        with pytest.raises(
            UsageError, match=f"layer {layer} does not exist; the model's decoder has layers 1 to 1"
        ):
            Aligner(translator, layer=layer)


def test_a_reverse_model_must_be_one(translator: Translator) -> None:
    with pytest.raises(
        UsageError, match="the reverse model translates fr to en; give one that translates en to fr"
    ):
        Aligner(translator, reverse=translator)


def test_both_directions_are_joined(trained: Trained, translator: Translator) -> None:
    """Another model is not needed to see it: one that says it goes the other way will do."""
    data = translator.config.data.model_copy(update={"source_language": "en", "target_language": "fr"})
    config = translator.config.model_copy(update={"data": data})
    reverse = Translator(translator.model, translator.tokenizer, config)
    sources, targets = trained.lines("test.fr"), trained.lines("test.en")
    forward = Aligner(translator).align(sources, targets)
    backward = Aligner(reverse).align(targets, sources)
    both = Aligner(translator, reverse=reverse).align(sources, targets)
    for joined, there, back in zip(both, forward, backward, strict=True):
        turned = {(i, j) for j, i in back}
        assert set(there) & turned <= set(joined) <= set(there) | turned
    assert both != forward
    gold = [Gold(frozenset(links), frozenset(links)) for links in both]
    assert (
        evaluate_alignments(Aligner(translator, reverse=reverse), sources, targets, gold=gold)[
            "both_ways"
        ].aer
        == 0
    )


def test_what_does_not_go_together_is_refused(translator: Translator) -> None:
    aligner = Aligner(translator)
    with pytest.raises(DataError, match="2 sources and 1 targets; give as many"):
        aligner.align(["Le chat.", "Oui."], ["The cat."])
    with pytest.raises(UsageError, match="batch size 0 is below 1"):
        aligner.align(["Le chat."], ["The cat."], batch_size=0)
    assert aligner.align([], []) == []
