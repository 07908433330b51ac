"""What an explanation says of the model itself: where it comes from, what its heads do, how it learnt."""

from typing import Any

from translator.config import ModelConfig
from translator.translation.film import FILM, read_film
from translator.translation.heads import HEADS
from translator.translation.inference import Translator
from translator.translation.origin import origin


def about(translator: Translator) -> dict[str, Any]:
    """Return facts about a model, for JSON. A fact is None if the model's folder does not have it.

    Returns:
        "model": where the model comes from (see `translation.origin`).
        "heads": the names of the heads (see `name_heads`).
        "film": the film of the training (see `translation.film`).
    """
    folder, heads = translator.folder, translator.manifest.get(HEADS)
    # Beside a folder of another name, there may be the film of another model.
    film = read_film(folder.parent / FILM) if folder is not None and folder.name == "model" else None
    return {
        "model": origin(translator) if translator.manifest.get("created") else None,
        "heads": heads if _are_heads(heads, translator.config.model) else None,
        "film": film and {"sentences": film["sentences"], "moments": film["moments"]},
    }


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
