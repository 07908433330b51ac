"""The explanation agrees with the search: attention, probabilities, words."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from translator.data.input_map import map_input
from translator.errors import UsageError
from translator.explain import Explanation, explain
from translator.explain.explanation import readable
from translator.model.attention import Attention
from translator.search.result import Hypothesis, Result
from translator.search.trace import Trace
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

SENTENCES = [
    "Ma sœur ne mange pas dans la maison.",
    "La reine.",
    "Un vieux 🐈 attend « l’enfant » au marché !",
]


class Watched:
    """Records the attention weights of a search with PyTorch: the encoder's, then those of each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.weights: list[Tensor] = []
        real = Attention.forward

        def forward(attention: Attention, *inputs: Any, maps: list[Tensor] | None = None) -> Tensor:
            return real(attention, *inputs, maps=self.weights)

        monkeypatch.setattr(Attention, "forward", forward)


@dataclass
class Searched:
    """A search for one sentence with PyTorch, and its attention weights.

    Attributes:
        result: the result.
        encoder: the encoder's attention, (layers, H, S, S).
        decoder: self-attention of the hypotheses that became the translation, (layers, H, T, T).
        cross: their cross-attention, (layers, H, T, S).
    """

    result: Result
    encoder: Tensor
    decoder: Tensor
    cross: Tensor


@pytest.fixture
def in_torch(translator: Translator) -> Translator:
    """The model whose search can be watched."""
    return Translator(
        translator.model,
        translator.tokenizer,
        translator.config,
        splits_sentences=translator.splits_sentences,
        backend="torch",
    )


def numbers_on_the_way(trace: Trace, best: Hypothesis) -> list[int]:
    """Return, for each step of the search, the index of the hypothesis that became the translation."""
    live: list[tuple[tuple[int, ...], list[int]]] = [((), [])]
    for step in trace:
        following = []
        for c in step:
            ids, numbers = live[c.parent]
            if c.fate == "finished" and list(ids) == best.ids:
                return [*numbers, c.parent]
            if c.fate == "kept":
                following.append(((*ids, c.piece), [*numbers, c.parent]))
        live = following
    raise AssertionError("the translation is in the trace")


def as_searched(
    translator: Translator, sentence: str, watched: Watched, *, off_the_way: bool = False
) -> Searched:
    """Search, and return the attention on the way to the translation, or of the hypotheses beside it."""
    trace: Trace = []
    watched.weights.clear()
    [(_, source)] = translator.cut([sentence])
    [result] = translator.search([source], translator.config.search, trace=trace)
    way = numbers_on_the_way(trace, result.hypotheses[0])
    n_encoder, n_layers = len(translator.model.encoder.layers), len(translator.model.decoder.layers)
    encoder, steps = watched.weights[:n_encoder], watched.weights[n_encoder:]
    own = torch.zeros(n_layers, steps[0].size(1), len(way), len(way))
    across = torch.zeros(n_layers, steps[0].size(1), len(way), len(source) + 1)
    for t, number in enumerate(way):
        for layer in range(n_layers):
            to_itself, to_source = steps[2 * (t * n_layers + layer) :][:2]  # (W, H, 1, T), (1, H, W, S)
            row = (number + off_the_way) % len(to_itself)
            own[layer, :, t, : t + 1] = to_itself[row, :, 0]
            across[layer, :, t] = to_source[0, :, row]
    return Searched(result, torch.cat(encoder), own, across)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_attention_is_the_searchs_own(
    in_torch: Translator, translator: Translator, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the search with PyTorch; the one in C finds the same translation."""
    shown = [explain(each, sentence) for each in (translator, in_torch)]
    watched = Watched(monkeypatch)
    searched = as_searched(in_torch, sentence, watched)
    for each in shown:
        assert each.score == pytest.approx(searched.result.hypotheses[0].score, abs=1e-5)
        for found, expected in (
            (each.encoder, searched.encoder),
            (each.decoder, searched.decoder),
            (each.cross, searched.cross),
        ):
            torch.testing.assert_close(found.weights, expected, rtol=0, atol=1e-5)
    # Control: another hypothesis in the beam has other weights, and the encoder's heads differ.
    other = as_searched(in_torch, sentence, watched, off_the_way=True)
    assert (shown[0].decoder.weights - other.decoder).abs().max() > 1e-3
    assert (shown[0].cross.weights - other.cross).abs().max() > 1e-3
    assert (shown[0].encoder.weights - searched.encoder.flip(1)).abs().max() > 1e-3


@pytest.mark.parametrize("sentence", SENTENCES)
def test_rows_sum_to_one_and_masks_are_those_of_the_roles(translator: Translator, sentence: str) -> None:
    shown = explain(translator, sentence)
    n_source, n_target = len(shown.source_pieces), len(shown.target_pieces)
    shapes = {"encoder": (n_source, n_source), "decoder": (n_target, n_target), "cross": (n_target, n_source)}
    for role, shape in shapes.items():
        found = getattr(shown, role)
        assert found.weights.shape == (1, 4, *shape)
        assert found.mask.shape == shape
        for sums in (found.weights.sum(-1), found.average.sum(-1)):
            torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-5)
        assert (found.weights[:, :, ~found.mask] == 0).all()
        assert (found.weights[:, :, found.mask] > 0).all()
    assert shown.encoder.mask.all()
    assert shown.cross.mask.all()
    assert shown.decoder.mask.equal(torch.ones(n_target, n_target).tril().bool())
    # Control: in cross-attention, sums over the queries are not one.
    assert (shown.cross.weights.sum(-2) - 1).abs().max() > 0.1


@pytest.mark.parametrize("prefix", ["", "My « œ »"])
@pytest.mark.parametrize("beam_size", [None, 1, 7])
def test_it_explains_what_translate_finds(translator: Translator, prefix: str, beam_size: int | None) -> None:
    for sentence in SENTENCES:
        [usual] = translator.translate([sentence], beam_size=beam_size, prefix=prefix)
        shown = explain(translator, sentence, beam_size=beam_size, prefix=prefix)
        assert (shown.source, shown.translation) == (map_input(sentence), usual.text)
        assert shown.score == pytest.approx(usual.score, rel=0, abs=1e-9)
        assert shown.translation.startswith(prefix)
        assert shown.beam_size == (beam_size or 3)


def test_probabilities_are_those_of_the_search(translator: Translator) -> None:
    shown = explain(translator, SENTENCES[0], prefix="My")
    assert sum(math.log(choice.probability) for choice in shown.choices) == pytest.approx(
        shown.log_prob, rel=0, abs=1e-4
    )
    assert len(shown.choices) == len(shown.target_pieces)
    n_forced = len(translator.tokenizer.encode("My"))
    assert [choice.forced for choice in shown.choices] == [
        place < n_forced for place in range(len(shown.choices))
    ]
    for piece, choice in zip(shown.target_pieces, shown.choices, strict=True):
        values = [probability for _, probability in choice.alternatives]
        assert len(values) == 5
        assert values == sorted(values, reverse=True)
        assert 0 < sum(values) + choice.probability <= 1 + 1e-5
        assert piece not in [name for name, _ in choice.alternatives]
    # Control: a missing choice would be noticed.
    assert sum(math.log(c.probability) for c in shown.choices[:2]) != pytest.approx(shown.log_prob, abs=1e-4)


def test_no_alternative_is_one_that_a_search_may_not_take(translator: Translator) -> None:
    shown = explain(translator, SENTENCES[1])
    names = [name for choice in shown.choices for name, _ in choice.alternatives]
    assert not {"⟨start⟩", "⟨padding⟩", "<unk>"} & set(names)
    assert "⟨end⟩" not in [name for name, _ in shown.choices[0].alternatives]


def test_pieces_of_a_word_are_its_own(translator: Translator, explanation: Explanation) -> None:
    pieces = [piece.lstrip("␣") for piece in explanation.source_pieces]
    spelled = ["" for _ in explanation.source_words]
    for piece, owner in zip(pieces[:-1], explanation.source_owners[:-1], strict=True):
        spelled[owner] += piece
    assert spelled == explanation.source_words
    assert explanation.source_owners[-1] == explanation.target_owners[-1] == -1


def test_spaces_are_shown_and_bytes_are_named(translator: Translator) -> None:
    shown = explain(translator, "Le 🐈 dort.")
    assert shown.source_pieces[0].startswith("␣")
    named = [piece for piece in shown.source_pieces if piece.endswith(" of 🐈⟩")]
    assert named == [f"⟨{byte:02X} of 🐈⟩" for byte in "🐈".encode()]
    ids = translator.tokenizer.encode("🐈")
    assert readable(translator.tokenizer, ids[-1:]) == ["⟨88⟩"], "of what, one byte does not say"


def test_of_a_text_in_parts_the_first_is_explained(translator: Translator) -> None:
    long = "Le chat dort dans la maison. " * 12
    shown = explain(translator, long)
    [usual] = translator.translate([long])
    assert shown.n_parts == usual.n_parts > 1
    assert long.startswith(shown.source)
    assert usual.text.startswith(shown.translation)
    assert explain(translator, "Le chat dort.").n_parts == 1


@pytest.mark.parametrize("blank", ["", " \t", "\u00a0"])
def test_a_blank_text_is_refused(translator: Translator, blank: str) -> None:
    with pytest.raises(UsageError, match="blank"):
        explain(translator, blank)


def test_wrong_options_are_refused(translator: Translator) -> None:
    with pytest.raises(UsageError, match="beam size 0 is below 1"):
        explain(translator, "Le chat.", beam_size=0)
    with pytest.raises(UsageError, match="line break"):
        explain(translator, "Le chat.", prefix="a\nb")
