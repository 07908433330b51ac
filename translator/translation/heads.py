"""What each attention head does, measured on sentences with their reference translations.

A head is named after the place to which it pays most attention, such as the previous token, provided that
the place gets more than half of the head's weight on average.

Clark et al. (2019, §3.1, "What does BERT look at?") describe heads by average weights, as here. Voita et al.
(2019, §5.1, "Analyzing multi-head self-attention") count how often the largest weight lies on a place, and call a
head positional from 90 % on. Weights are what the maps show, and also tell a head that almost always
prefers a place by little from one that looks nowhere else.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from translator.alignment.attention import links_of, token_weights, word_attention, word_spans
from translator.alignment.words import words
from translator.data.batching import make_batch
from translator.data.tokenizer import Tokenizer
from translator.engine.runtime import device_of
from translator.symbols import EOS, PAD
from translator.translation.inference import Translator

#: A head is named after a place that gets more than this share of its weight. At most one place of a role can,
#: and it gets more than all other tokens together.
THRESHOLD = 0.5
#: Maximum number of pairs on which heads are measured.
MAX_PAIRS = 500
_BATCH_SIZE = 50


def name_heads(
    translator: Translator, sources: Sequence[str], references: Sequence[str]
) -> dict[str, list[list[dict[str, Any] | None]]]:
    """Measure the heads of a model by teacher forcing on at most `MAX_PAIRS` of the given pairs.

    Pairs with a blank side or more tokens than the model accepts are left out.

    Returns:
        For each role ("encoder" and "decoder" self-attention, "cross"), layer and head: its name and the
        share of its weight that led to the name, or None if no share exceeds `THRESHOLD`.
    """
    tokenizer, limit = translator.tokenizer, translator.config.model.max_length
    step = max(1, -(-len(sources) // MAX_PAIRS))
    pairs = [
        (source_ids, target_ids)
        for source, target in zip(sources[::step], references[::step], strict=True)
        if (source_ids := tokenizer.encode(translator.mapped(source)))
        and (target_ids := tokenizer.encode(target))
        and max(len(source_ids), len(target_ids)) < limit
    ]
    pairs.sort(key=lambda pair: len(pair[0]))
    totals: dict[str, list[Tensor]] = {}
    names: dict[str, list[str]] = {}
    for start in range(0, len(pairs), _BATCH_SIZE):
        for role, (layers, places) in _maps(translator, pairs[start : start + _BATCH_SIZE]).items():
            names[role] = [*places]
            totals.setdefault(role, []).append(weight_on(layers, [*places.values()]))
    return {role: named(torch.stack(parts).sum(0), names[role]) for role, parts in totals.items()}


def weight_on(layers: Sequence[Tensor], places: Sequence[Tensor]) -> Tensor:
    """Sum the weight that heads put on each of P places, over the queries of a batch that can tell them apart.

    These are the queries for which all places exist and no two of them are the same key.

    Args:
        layers: for each of the L layers, the attention weights, (B, H, Q, K).
        places: for each place, where its keys are, (B, Q, K) bool. Queries and keys that are padding have none.

    Returns:
        (P + 1, L, H) float64: the sums and, last, the number of these queries.
    """
    keys = torch.stack(list(places))  # (P, B, Q, K)
    tells = keys.any(-1).all(0) & (keys.sum(0) <= 1).all(-1)  # (B, Q)
    weights = torch.stack(list(layers)).double()  # (L, B, H, Q, K)
    sums = torch.einsum("pbqk,lbhqk->plh", (keys & tells[..., None]).double(), weights)
    return torch.cat([sums, tells.sum().expand(1, *sums.shape[1:])])


def named(totals: Tensor, names: Sequence[str]) -> list[list[dict[str, Any] | None]]:
    """Name each head after the place with the largest share, given (P + 1, L, H) from `weight_on`."""
    shares = totals[:-1] / totals[-1].clamp(min=1)
    values, best = (found.tolist() for found in shares.max(0))
    return [
        [
            {"name": names[i], "share": round(share, 3)} if share > THRESHOLD else None
            for share, i in zip(*layer, strict=True)
        ]
        for layer in zip(values, best, strict=True)
    ]


@torch.inference_mode()
def _maps(
    translator: Translator, pairs: Sequence[tuple[list[int], list[int]]]
) -> dict[str, tuple[list[Tensor], dict[str, Tensor]]]:
    """Return for each role the attention weights of some pairs, and the places by name."""
    batch = make_batch([s for s, _ in pairs], [t for _, t in pairs]).to(device_of(translator.model))
    encoder, decoder = translator.model.attention_maps(batch.source_ids, batch.target_in)
    cross = torch.stack(decoder.cross_attention).float().mean((0, 2)).cpu()  # (B, T, S)
    linked = torch.zeros(cross.shape, dtype=torch.bool)
    for row, (source_ids, target_ids) in enumerate(pairs):
        steps = slice(len(target_ids)), slice(len(source_ids) + 1)
        linked[row][steps][:, :-1] = _linked(translator.tokenizer, source_ids, target_ids, cross[row][steps])
    return {
        "encoder": (encoder.self_attention, encoder_places(batch.source_ids)),
        "decoder": (decoder.self_attention, decoder_places(batch.target_in)),
        "cross": (decoder.cross_attention, cross_places(batch.source_ids, linked.to(batch.source_ids.device))),
    }


def _linked(tokenizer: Tokenizer, source_ids: list[int], target_ids: list[int], attention: Tensor) -> Tensor:
    """Return which of S source pieces each of T target pieces is aligned with, (T, S) bool.

    Pieces are aligned if their words are, which `Aligner` would link in the same way.

    Args:
        tokenizer: the tokenizer of the pieces.
        source_ids: the source pieces, without the end symbol.
        target_ids: the target pieces, without the end symbol.
        attention: (T, S + 1), cross-attention averaged over all layers and heads, with the end symbol as last.
    """
    texts = [(ids, tokenizer.decode(ids)) for ids in (source_ids, target_ids)]
    source, target = (
        token_weights(tokenizer.spans(ids), word_spans(words(text), text)) for ids, text in texts
    )
    end = word_attention(attention[:, -1:], torch.ones(1, 1), target)[:, 0]
    word_links = torch.zeros(target.size(1), source.size(1))
    for i, j in links_of(word_attention(attention[:, :-1], source, target), end):
        word_links[j, i] = 1
    return target @ word_links @ source.T > 0


def encoder_places(source_ids: Tensor) -> dict[str, Tensor]:
    """Return the places of encoder self-attention, (B, S, S) bool each, given (B, S) source ids."""
    is_piece = (source_ids != PAD) & (source_ids != EOS)
    between = is_piece[:, :, None] & is_piece[:, None]  # (B, S, S)
    offset = _offsets(source_ids)
    return {
        "previous token": between & (offset == -1),
        "same token": between & (offset == 0),
        "next token": between & (offset == 1),
        "end of sentence": is_piece[:, :, None] & (source_ids == EOS)[:, None],
    }


def decoder_places(target_in: Tensor) -> dict[str, Tensor]:
    """Return the places of decoder self-attention, (B, T, T) bool each, given the (B, T) ids that it reads."""
    is_token = target_in != PAD
    between = is_token[:, :, None] & is_token[:, None]  # (B, T, T)
    offset = _offsets(target_in)
    return {
        "previous token": between & (offset == -1),
        "same token": between & (offset == 0),
        "start of sentence": between & (torch.arange(target_in.size(1), device=target_in.device) == 0),
    }


def cross_places(source_ids: Tensor, linked: Tensor) -> dict[str, Tensor]:
    """Return the places of cross-attention, (B, T, S) bool each.

    Args:
        source_ids: (B, S) int64.
        linked: (B, T, S) bool, the source pieces that are aligned with the piece that each query predicts.
    """
    is_piece = ((source_ids != PAD) & (source_ids != EOS))[:, None]
    from_first = linked.cumsum(-1) > 0
    to_last = linked.flip(-1).cumsum(-1).flip(-1) > 0
    return {
        "aligned word": linked,
        "before the aligned word": is_piece & ~from_first & from_first.roll(-1, -1),
        "after the aligned word": is_piece & ~to_last & to_last.roll(1, -1),
        "end of sentence": (source_ids == EOS)[:, None].expand_as(linked),
    }


def _offsets(ids: Tensor) -> Tensor:
    """Return position of key minus position of query, (L, L), for (B, L) ids."""
    positions = torch.arange(ids.size(1), device=ids.device)
    return positions - positions[:, None]
