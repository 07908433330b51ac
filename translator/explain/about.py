"""What an explanation says of the model itself: where it comes from, what its heads do, how it learnt."""

from typing import Any

from translator.config import ModelConfig
from translator.translation.film import FILM, read_film
from translator.translation.heads import HEADS
from translator.translation.inference import Translator


def about(translator: Translator) -> dict[str, Any]:
    """Return facts about a model, for JSON. A fact is None if the model's folder does not have it.

    Returns:
        "model": name of the run, name of the corpus, date (ISO 8601) and BLEU on the test split, or None.
        "heads": the names of the heads (see `name_heads`).
        "film": the film of the training (see `translation.film`).
    """
    folder, manifest = translator.folder, translator.manifest
    if folder is None:
        return {"model": None, "heads": None, "film": None}
    folder = folder.resolve()
    is_of_run = folder.name == "model"
    film = read_film(folder.parent / FILM) if is_of_run else None
    heads = manifest.get(HEADS)
    return {
        "model": {
            "name": folder.parent.name if is_of_run else folder.name,
            "corpus": translator.config.data.corpus,
            "created": manifest["created"],
            "bleu": _test_bleu(manifest.get("scores")),
        }
        if isinstance(manifest.get("created"), str)
        else None,
        "heads": heads if _are_heads(heads, translator.config.model) else None,
        "film": film and {"sentences": film["sentences"], "moments": film["moments"]},
    }


def _test_bleu(scores: Any) -> float | None:
    try:
        return round(float(scores["test"]["bleu"]["score"]), 1)
    except (TypeError, LookupError, ValueError):
        return None


def _are_heads(heads: Any, shape: ModelConfig) -> bool:
    """Return whether a value has a name or None for each head, as `name_heads` returns it."""
    n_layers = {
        "encoder": shape.n_encoder_layers,
        "decoder": shape.n_decoder_layers,
        "cross": shape.n_decoder_layers,
    }
    try:
        names = [name for role, n in n_layers.items() for layer in heads[role] for name in layer]
        return all(
            [len(layer) for layer in heads[role]] == [shape.n_heads] * n for role, n in n_layers.items()
        ) and all(
            name is None or (isinstance(name["name"], str) and 0 <= name["share"] <= 1) for name in names
        )
    except (TypeError, LookupError):
        return False
