"""The exported folder: written beside its place, checked there, and only then put into it.

model.bin, config.json, shared_vocabulary.json   what CTranslate2 reads
tokenizer.model                                  the SentencePiece model, unchanged
passerelle.json                                  where it came from, how to use it, what the check found
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from translator.data import phrasebook
from translator.data.input_map import STEPS
from translator.errors import ExportError
from translator.export.check import Agreement, check
from translator.files import rename_whole
from translator.model_folder import TOKENIZER, LoadedModel, load_model_folder, read_manifest
from translator.translation.inference import Translator

ABOUT = "passerelle.json"


def export(
    model_folder: Path, output: Path, lines: Sequence[str], references: Sequence[str] | None = None
) -> Agreement:
    """Write a model folder as one that CTranslate2 reads, if it translates as ours does.

    Args:
        model_folder: ours.
        output: the folder to be made; there is nothing of that name.
        lines: what both translate, in the source language.
        references: their translations, to compare BLEU too.

    Returns:
        What the check found.

    Raises:
        ExportError: `output` exists or has no parent folder, CTranslate2 is not installed, or the exported
            model translates otherwise; nothing is left behind.
        ModelError: `model_folder` is no whole model folder, or a weight is not finite.
        DataError: no line has text.
    """
    if output.exists() or output.is_symlink():
        raise ExportError(f"{output}: exists already; give a name that is free")
    if not output.absolute().parent.is_dir():
        raise ExportError(f"{output}: there is no folder {output.parent}; make it first")
    try:
        from translator.export import to_ctranslate2
    except ImportError as error:
        raise ExportError(
            f"exporting needs CTranslate2 ({error}); install it: pip install 'passerelle[export]'"
        ) from None
    bundle = load_model_folder(model_folder)
    try:
        beside = tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.absolute().parent)
    except OSError as error:
        raise ExportError(f"{output}: cannot be written: {error.strerror}; name another folder") from None
    with beside:
        partial = Path(beside.name) / output.name
        partial.mkdir()
        to_ctranslate2.write_model(partial, bundle.model, bundle.tokenizer, bundle.config.model)
        (partial / TOKENIZER).write_bytes(bundle.tokenizer.model)
        translator = Translator(bundle.model, bundle.tokenizer, bundle.config)
        engine = to_ctranslate2.CTranslate2Engine(partial, bundle.tokenizer)
        found = check(translator, engine, lines, references)
        about = {
            "made_by": {"passerelle": metadata.version("passerelle"), "ctranslate2": to_ctranslate2.VERSION},
            **_about(bundle, model_folder),
            "check": asdict(found),
        }
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        (partial / ABOUT).write_text(text, encoding="utf-8", newline="\n")
        rename_whole(partial, output)
    return found


def lines_to_check(model_folder: Path) -> list[str]:
    """Return the lines that an export is checked on by default: 300 by hand, in the source language.

    A model of another language than the phrasebook's two is checked on the French; any text will do.

    Raises:
        ModelError: the folder has no manifest.
    """
    language = read_manifest(model_folder).get("source_language")
    language = language if language in phrasebook.LANGUAGES else phrasebook.LANGUAGES[0]
    return [pair[language] for pair in phrasebook.pairs("challenge")]


def _about(bundle: LoadedModel, folder: Path) -> dict[str, Any]:
    """Where the model came from and how to translate with it as ours does."""
    tokenizer, config = bundle.tokenizer, bundle.config
    manifest = {name: bundle.manifest.get(name) for name in ("created", "git_commit", "sha256")}
    return {
        "source_language": config.data.source_language,
        "target_language": config.data.target_language,
        "model": {"name": "/".join(folder.resolve().parts[-2:]), **manifest},
        # Before the tokenizer. The patterns are Python's; a model from before there was a map has none.
        "input_map": {
            "version": config.data.input_map,
            "replace": STEPS if config.data.input_map else [],
            "use": "text = unicodedata.normalize('NFC', re.sub(pattern, replacement, text)) for each; "
            "an empty text then has an empty translation",
        },
        "tokenizer": {
            "file": TOKENIZER,
            "encode": "SentencePieceProcessor.encode(text, out_type=str); CTranslate2 adds the end symbol",
            "decode": "SentencePieceProcessor.decode(pieces)",
            # Precedes the lower case of a text in capitals, if upper-casing restores the text.
            "capitals": tokenizer.capitals,
            "max_source_pieces": config.model.max_length - 1,
        },
        # Arguments of ctranslate2.Translator.translate_batch. Ours ends an output at `max_output` pieces.
        "translate_batch": {
            "beam_size": config.search.beam_size,
            "length_penalty": config.search.length_penalty,
            "min_decoding_length": 1,
            "max_decoding_length": config.model.max_length - 1,
            "suppress_sequences": [[piece] for piece in tokenizer.pieces(tokenizer.never_emitted)],
        },
        "max_output": (
            f"{config.search.max_length_ratio:g} × the source's pieces + {config.search.max_length_offset}, "
            f"at most {config.model.max_length}, end symbol included"
        ),
    }
