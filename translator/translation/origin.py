"""Where a model comes from, and how a translator describes itself."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translator.translation.inference import Translator


def origin(translator: "Translator") -> dict[str, Any]:
    """Return where a model comes from: the entries "name" (of its run), "corpus", "created" and "bleu".

    "created" is a time in ISO 8601, and "bleu" is BLEU on the split `test`. An unknown entry is None.
    """
    data, folder, manifest = translator.config.data, translator.folder, translator.manifest
    scores = manifest.get("scores") or {}
    corpora = [source.name for source in data.sources] or [
        Path(data.root or data.dataset or data.format).name
    ]
    return {
        "name": folder and (folder.parent.name if folder.name == "model" else folder.name),
        "corpus": " + ".join(corpora),
        "created": manifest.get("created"),
        "bleu": scores["test"]["bleu"]["score"] if "test" in scores else None,
    }


def describe(translator: "Translator", weights: Any) -> str:
    """Return a translator in one line, given its weights by name: languages, sizes, corpus and scores."""
    facts = [
        translator.config.data.direction,
        f"{sum(math.prod(value.shape) for value in weights.values()):,} parameters",
        f"{len(translator.tokenizer):,} pieces",
        f"trained on {origin(translator)['corpus']}",
    ]
    scores = translator.manifest.get("scores") or {}
    facts += [f"BLEU {of_split['bleu']['score']:.1f} on {split}" for split, of_split in scores.items()]
    return f"<Translator: {', '.join(facts)}>"
