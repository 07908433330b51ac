"""The film of a training: how a few sentences were translated at moments of it, and where the model attended.

A run's `film.json` contains, for S source pieces and T target pieces, each with the end symbol as the last:

    {"format_version": 1,
     "sentences": [{"source": text, "pieces": [S pieces]}, …],
     "moments": [{"step": 10, "translations": [{"text": text, "pieces": [T pieces], "cross": T × S}, …]}, …]}

The pieces are in readable form, and `cross` is cross-attention, averaged over all layers and heads.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from translator.data.batching import make_batch
from translator.data.pieces import readable
from translator.data.tokenizer import Tokenizer
from translator.engine.runtime import device_of
from translator.symbols import EOS
from translator.translation.inference import Translator

FILM = "film.json"
FORMAT_VERSION = 1
#: Maximum length of a translation, with the end symbol, beyond that of its source. Without such a limit, most
#: of a film would be the repetitions that models write in their first steps.
N_MORE_PIECES = 10


def new_film(tokenizer: Tokenizer, sources: Sequence[str]) -> dict[str, Any]:
    """Return a film of some sentences, without moments."""
    sentences = [
        {"source": text, "pieces": readable(tokenizer, [*tokenizer.encode(text), EOS])} for text in sources
    ]
    return {"format_version": FORMAT_VERSION, "sentences": sentences, "moments": []}


@torch.inference_mode()
def translations(translator: Translator, sources: Sequence[str]) -> list[dict[str, Any]]:
    """Translate sentences by greedy search, and return what a moment of a film has of each of them.

    Raises:
        ModelError: the scores are not finite.
    """
    tokenizer, model = translator.tokenizer, translator.model
    source_ids = [tokenizer.encode(text) for text in sources]
    options = {"beam_size": 1, "max_length_ratio": 1.0, "max_length_offset": N_MORE_PIECES}
    results = translator.search(source_ids, translator.config.search.model_copy(update=options))
    target_ids = [result.hypotheses[0].ids for result in results]
    batch = make_batch(source_ids, target_ids).to(device_of(model))
    _, decoder = model.attention_maps(batch.source_ids, batch.target_in)
    cross = torch.stack(decoder.cross_attention).float().mean((0, 2)).cpu()  # (B, T, S)
    return [
        {
            "text": tokenizer.decode(target),
            "pieces": readable(tokenizer, [*target, EOS]),
            "cross": [[round(w, 3) for w in row] for row in m[: len(target) + 1, : len(source) + 1].tolist()],
        }
        for source, target, m in zip(source_ids, target_ids, cross, strict=True)
    ]


def read_film(path: Path) -> dict[str, Any] | None:
    """Return the film in a file, or None if it is absent, damaged or of another format version."""
    try:
        film = json.loads(path.read_text(encoding="utf-8"))
        return film if _is_film(film) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _is_film(film: Any) -> bool:
    """Return whether a value has the form of a film. If it has not, an exception is possible, too."""
    if film["format_version"] != FORMAT_VERSION:
        return False
    texts = [text for sentence in film["sentences"] for text in (sentence["source"], *sentence["pieces"])]
    numbers = [0.0]
    for moment in film["moments"]:
        for shown, sentence in zip(moment["translations"], film["sentences"], strict=True):
            texts += [shown["text"], *shown["pieces"]]
            for _, row in zip(shown["pieces"], shown["cross"], strict=True):
                numbers += [weight for weight, _ in zip(row, sentence["pieces"], strict=True)]
    steps = [moment["step"] for moment in film["moments"]]
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(step) is int for step in steps)
        and all(0 <= number <= 1 for number in numbers)
    )
