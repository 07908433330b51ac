"""What heads do: on attention made by hand, and on a trained model, one sentence at a time."""

from typing import Any

import pytest
import torch
from phrases import Trained
from torch import Tensor

from translator.data.batching import make_batch
from translator.symbols import BOS, EOS, PAD
from translator.translation import heads
from translator.translation.aligner import Aligner
from translator.translation.heads import (
    Places,
    cross_places,
    decoder_places,
    encoder_places,
    name_heads,
    named,
    weight_on,
)
from translator.translation.inference import Translator
from translator.translation.words import word_of_each

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

SOURCE_IDS = torch.tensor([[5, 6, 7, 8, 9, EOS], [9, 4, 7, EOS, PAD, PAD]])
TARGET_IN = torch.tensor([[BOS, 11, 12, 13, 14], [BOS, 15, 4, 5, PAD]])
#: The pieces 1 and 2 of the first source make a word, and the pieces 1 and 3 of the first target another.
ALIGNED = torch.zeros(2, 5, 6, dtype=torch.bool)
ALIGNED[0, 1, 1:3] = ALIGNED[0, 3, 1:3] = ALIGNED[0, 0, 0] = ALIGNED[1, 2, 1] = True

PLACES = {
    "encoder": encoder_places(SOURCE_IDS),
    "decoder": decoder_places(TARGET_IN),
    "cross": cross_places(SOURCE_IDS, ALIGNED),
}
#: For each role and place, the keys of the queries that tell places apart, as (row, query, key).
KEYS = {
    "encoder": {
        "previous token": [(0, 1, 0), (0, 2, 1), (0, 3, 2), (1, 1, 0)],
        "same token": [(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 1)],
        "next token": [(0, 1, 2), (0, 2, 3), (0, 3, 4), (1, 1, 2)],
        "end of sentence": [(0, 1, 5), (0, 2, 5), (0, 3, 5), (1, 1, 3)],
    },
    "decoder": {
        "previous token": [(0, 2, 1), (0, 3, 2), (0, 4, 3), (1, 2, 1), (1, 3, 2)],
        "same token": [(0, 2, 2), (0, 3, 3), (0, 4, 4), (1, 2, 2), (1, 3, 3)],
        "start of sentence": [(0, 2, 0), (0, 3, 0), (0, 4, 0), (1, 2, 0), (1, 3, 0)],
    },
    "cross": {
        "aligned word": [(0, 1, 1), (0, 1, 2), (0, 3, 1), (0, 3, 2), (1, 2, 1)],
        "before the aligned word": [(0, 1, 0), (0, 3, 0), (1, 2, 0)],
        "after the aligned word": [(0, 1, 3), (0, 3, 3), (1, 2, 2)],
        "end of sentence": [(0, 1, 5), (0, 3, 5), (1, 2, 3)],
    },
}


def attention(places: Places, keys: list[tuple[int, int, int]], share: float) -> Tensor:
    """Weights (B, 2, Q, K) whose second head puts `share` on the keys in turn; elsewhere, all are garbage."""
    weights = torch.full((2, 2, *next(iter(places.values())).shape[1:]), 9.0)
    tells = {(row, query) for row, query, _ in keys}
    for row, query in tells:
        weights[row, :, query] = 0.01
        own = [key for r, q, key in keys if (r, q) == (row, query)]
        weights[row, 1, query, own] = share / len(own)
    return weights


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, keys in KEYS.items() for name in keys])
def test_each_name(role: str, name: str) -> None:
    places, keys = PLACES[role], KEYS[role][name]
    assert [*places] == [*KEYS[role]]
    totals = weight_on([attention(places, keys, 0.75)], places)
    assert totals[-1].tolist() == [[len({key[:2] for key in keys})] * 2]
    assert named(totals, [*places]) == [[None, {"name": name, "share": 0.75}]]


def test_more_than_half_is_needed() -> None:
    totals = torch.tensor([[[2.0, 2.0001, 0.0]], [[2.0, 1.9999, 0.0]], [[4.0, 4.0, 0.0]]])
    assert named(totals, ["a", "b"]) == [[None, {"name": "a", "share": 0.5}, None]]


def test_sentences_too_short_to_tell_places_apart_name_nothing() -> None:
    places = encoder_places(torch.tensor([[5, 6, EOS], [5, EOS, PAD], [EOS, PAD, PAD]]))
    totals = weight_on([torch.ones(3, 1, 3, 3), torch.ones(3, 1, 3, 3)], places)
    assert totals[-1].tolist() == [[0], [0]]
    assert named(totals, [*places]) == [[None], [None]]


# -- a trained model -----------------------------------------------------------------------------------

SOURCES = [
    "Ma sœur ne mange pas dans la maison.",
    "",
    "Le chat dort sous le pont.",
    "L’enfant chante !" + " a" * 60,
]
TARGETS = [
    "My sister does not eat in the house.",
    "Nothing.",
    "The cat sleeps under the bridge.",
    "The child sings!",
]


def owners_of(translator: Translator, ids: list[int], text: str) -> list[int]:
    """The word of each piece; -1 for a space alone, which `Aligner` counts as part of no word."""
    owners, spans = word_of_each(translator.tokenizer, ids, text), translator.tokenizer.spans(ids)
    return [owner if text[slice(*span)].strip() else -1 for owner, span in zip(owners, spans, strict=True)]


def one_by_one(translator: Translator) -> dict[str, list[Tensor]]:
    """For each role, the weights (layers, H) on the keys of each place, a list entry for each place."""
    found: dict[str, list[Tensor]] = {"encoder": [], "decoder": [], "cross": []}
    sums: dict[str, Any] = {role: [0.0] * len(KEYS[role]) for role in found}
    counts = dict.fromkeys(found, 0)
    for source, target in ((SOURCES[i], TARGETS[i]) for i in (0, 2)):
        source = translator.mapped(source)
        ids = [translator.tokenizer.encode(text) for text in (source, target)]
        batch = make_batch(ids[:1], ids[1:])
        encoder, decoder = translator.model.attention_maps(batch.source_ids, batch.target_in)
        [links] = Aligner(translator).align([source], [target])
        owners = [owners_of(translator, *side) for side in zip(ids, (source, target), strict=True)]
        n_source, n_target = map(len, ids)
        queries: dict[str, list[tuple[int, list[list[int]]]]] = {
            "encoder": [(q, [[q - 1], [q], [q + 1], [n_source]]) for q in range(1, n_source - 1)],
            "decoder": [(q, [[q - 1], [q], [0]]) for q in range(2, n_target + 1)],
            "cross": [],
        }
        for q in range(n_target):
            own = [s for s in range(n_source) if (owners[0][s], owners[1][q]) in links]
            if own and own[0] > 0 and own[-1] < n_source - 1:
                queries["cross"].append((q, [own, [own[0] - 1], [own[-1] + 1], [n_source]]))
        for role, layers in (
            ("encoder", encoder.self_attention),
            ("decoder", decoder.self_attention),
            ("cross", decoder.cross_attention),
        ):
            weights = torch.cat(layers)  # (layers, H, Q, K)
            counts[role] += len(queries[role])
            for query, places in queries[role]:
                for i, keys in enumerate(places):
                    sums[role][i] = sums[role][i] + weights[:, :, query, keys].sum(-1)
    return {role: [total / counts[role] for total in sums[role]] for role in found}


@torch.inference_mode()
def test_a_trained_models_shares_are_those_of_its_sentences_one_by_one(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "THRESHOLD", 0)
    translator = Translator.load(trained.model)
    named_heads = name_heads(translator, SOURCES, TARGETS)
    for role, shares in one_by_one(translator).items():
        best = torch.stack(shares).max(0)
        for layer, row in enumerate(named_heads[role]):
            assert len(row) == 4
            for head, fact in enumerate(row):
                assert fact is not None
                assert fact["name"] == [*KEYS[role]][int(best.indices[layer, head])]
                assert fact["share"] == pytest.approx(float(best.values[layer, head]), abs=6e-4)


def test_at_most_500_pairs_are_measured_from_all_over_the_split(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    attend = heads._attention
    monkeypatch.setattr(heads, "MAX_PAIRS", 3)
    monkeypatch.setattr(heads, "_BATCH_SIZE", 2)

    def count(translator: Translator, pairs: Any) -> Any:
        measured.append(len(pairs))
        return attend(translator, pairs)

    monkeypatch.setattr(heads, "_attention", count)
    translator = Translator.load(trained.model)
    sources = ["Le chat dort."] * 4 + ["Le chien dort."] * 3
    assert name_heads(translator, sources, ["The cat sleeps."] * 7)["encoder"]
    assert measured == [2, 1]
    assert name_heads(translator, [], []) == {}
