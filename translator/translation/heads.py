"""What each attention head does, measured by teacher forcing on sentences with reference translations.

A head is named after the place that gets more than half of its weight on average. Clark et al. (2019, §3.1)
describe heads by the same measure. Voita et al. (2019, §5.1) call a head positional if the largest weight
lies on the place at least 90 % of the time; but then a head that always prefers a place by a little would
look like one that attends to nothing else.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from translator.alignment.attention import token_links, token_weights, word_spans
from translator.alignment.words import words
from translator.data.batching import make_batch
from translator.data.tokenizer import Tokenizer
from translator.engine.runtime import device_of
from translator.symbols import BOS, EOS, PAD
from translator.translation.inference import Translator

#: Key of the manifest under which the names are stored.
HEADS = "heads"
#: A head is named if a place gets more than this share of its weight: more than all other tokens together.
THRESHOLD = 0.5
#: Maximum number of pairs on which heads are measured.
MAX_PAIRS = 500
_BATCH_SIZE = 100

#: Names of places, each with its keys: (B, Q, K) bool. For each query that is padding, one place has no keys.
Places = dict[str, Tensor]


def name_heads(
    translator: Translator, sources: Sequence[str], references: Sequence[str]
) -> dict[str, list[list[dict[str, Any] | None]]]:
    """Name the heads of a model, measured on at most `MAX_PAIRS` of the given pairs.

    Pairs with a blank side or more tokens than the model accepts are left out.

    Returns:
        For each role ("encoder" and "decoder" self-attention, "cross"), layer and head: a name with the share
        of the head's weight, or None if no share exceeds `THRESHOLD`.
    """
    encode, limit = translator.tokenizer.encode, translator.config.model.max_length
    step = max(1, -(-len(sources) // MAX_PAIRS))
    pairs = [
        (encode(translator.mapped(source)), encode(target))
        for source, target in zip(sources[::step], references[::step], strict=True)
    ]
    pairs = sorted(
        (pair for pair in pairs if all(pair) and max(map(len, pair)) < limit), key=lambda p: len(p[0])
    )
    totals: dict[str, Tensor] = {}
    names: dict[str, list[str]] = {}
    for start in range(0, len(pairs), _BATCH_SIZE):
        for role, (layers, places) in _attention(translator, pairs[start : start + _BATCH_SIZE]).items():
            names[role] = [*places]
            totals[role] = weight_on(layers, places) + totals.get(role, 0)
    return {role: named(totals[role], names[role]) for role in totals}


def weight_on(layers: Sequence[Tensor], places: Places) -> Tensor:
    """Sum the weight that heads put on each of P places, over the queries that tell the places apart.

    These are the queries for which all places exist and no two of them share a key.

    Args:
        layers: the attention weights of each of the L layers, (B, H, Q, K).
        places: the places.

    Returns:
        (P + 1, L, H) float64 on the CPU: the sums and, last, the number of these queries.
    """
    keys = torch.stack([*places.values()])  # (P, B, Q, K)
    tells = keys.any(-1).all(0) & (keys.sum(0) <= 1).all(-1)  # (B, Q)
    weights = torch.stack([*layers]).float()  # (L, B, H, Q, K)
    sums = torch.einsum("pbqk,lbhqk->plh", (keys & tells[..., None]).float(), weights)
    return torch.cat([sums, tells.sum().expand(1, *sums.shape[1:])]).double().cpu()


def named(totals: Tensor, names: Sequence[str]) -> list[list[dict[str, Any] | None]]:
    """Name each head after the place with the largest share, given (P + 1, L, H) from `weight_on`."""
    shares, places = (totals[:-1] / totals[-1].clamp(min=1)).max(0)  # (L, H) each
    return [
        [
            {"name": names[place], "share": round(share, 3)} if share > THRESHOLD else None
            for share, place in zip(*layer, strict=True)
        ]
        for layer in zip(shares.tolist(), places.tolist(), strict=True)
    ]


@torch.inference_mode()
def _attention(
    translator: Translator, pairs: Sequence[tuple[list[int], list[int]]]
) -> dict[str, tuple[list[Tensor], Places]]:
    """Return, for each role, the attention weights of some pairs and the places."""
    model = translator.model
    batch = make_batch([s for s, _ in pairs], [t for _, t in pairs]).to(device_of(model))
    encoder, decoder = model.attention_maps(batch.source_ids, batch.target_in)
    cross = torch.stack(decoder.cross_attention).float().mean((0, 2)).cpu()  # (B, T, S)
    of_sources, of_targets = (
        model.embedding(ids).float().cpu() for ids in (batch.source_ids, batch.target_in)
    )
    aligned = torch.zeros(cross.shape, dtype=torch.bool)
    for row, (source, target) in enumerate(pairs):
        n_source, n_target = len(source), len(target)
        aligned[row, :n_target, :n_source] = _aligned(
            translator.tokenizer,
            (source, target),
            cross[row, :n_target, : n_source + 1],
            (of_sources[row, :n_source], of_targets[row, 1 : 1 + n_target]),  # without BOS
        )
    return {
        "encoder": (encoder.self_attention, encoder_places(batch.source_ids)),
        "decoder": (decoder.self_attention, decoder_places(batch.target_in)),
        "cross": (
            decoder.cross_attention,
            cross_places(batch.source_ids, aligned.to(batch.source_ids.device)),
        ),
    }


def _aligned(
    tokenizer: Tokenizer,
    pair: tuple[list[int], list[int]],
    steps: Tensor,
    embeddings: tuple[Tensor, Tensor],
) -> Tensor:
    """Return which source pieces are in a word that `Aligner` links to a target piece's word, (T, S) bool.

    Args:
        tokenizer: the tokenizer of the pair.
        pair: the ids of the source and of the target.
        steps: cross-attention, averaged over all layers and heads, (T, S + 1), with the end symbol as last
            key.
        embeddings: of the source pieces, (S, D), and of the target pieces, (T, D).
    """
    texts = [(ids, tokenizer.decode(ids)) for ids in pair]
    source, target = (token_weights(tokenizer.spans(ids), word_spans(words(t), t)) for ids, t in texts)
    linked = torch.zeros(target.size(1), source.size(1))
    for i, j in token_links(steps, embeddings, (source, target)):
        linked[j, i] = 1
    return target @ linked @ source.T > 0


def encoder_places(source_ids: Tensor) -> Places:
    """Return the places of encoder self-attention, given (B, S) int64."""
    neighbours = _neighbours(source_ids, {"previous token": -1, "same token": 0, "next token": 1})
    return {**neighbours, "end of sentence": _key(source_ids == EOS, source_ids.size(1))}


def decoder_places(target_in: Tensor) -> Places:
    """Return the places of decoder self-attention, given (B, T) int64."""
    neighbours = _neighbours(target_in, {"previous token": -1, "same token": 0})
    return {**neighbours, "start of sentence": _key(target_in == BOS, target_in.size(1))}


def cross_places(source_ids: Tensor, aligned: Tensor) -> Places:
    """Return the places of cross-attention.

    Args:
        source_ids: (B, S) int64.
        aligned: (B, T, S) bool, the source pieces that are aligned with the piece that each query predicts.
    """
    from_first, to_last = aligned.cumsum(-1) > 0, aligned.flip(-1).cumsum(-1).flip(-1) > 0
    return {
        "aligned word": aligned,
        "before the aligned word": ~from_first & from_first.roll(-1, -1),
        "after the aligned word": ~to_last & to_last.roll(1, -1),
        "end of sentence": _key(source_ids == EOS, aligned.size(1)),
    }


def _key(is_there: Tensor, n_queries: int) -> Tensor:
    """Return the same keys for each query: (B, K) → (B, Q, K)."""
    return is_there[:, None].expand(-1, n_queries, -1)


def _neighbours(ids: Tensor, offsets: dict[str, int]) -> Places:
    """Return for each offset the token that is so many positions after the query, given (B, L) int64."""
    positions = torch.arange(ids.size(1), device=ids.device)
    is_token = _key(ids != PAD, ids.size(1))  # (B, Q, K)
    return {name: is_token & (positions == positions[:, None] + offset) for name, offset in offsets.items()}
