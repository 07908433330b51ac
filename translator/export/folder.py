"""The exported folder: written under a temporary name, verified, and only then renamed.

With CTranslate2:

    model.bin, config.json, shared_vocabulary.json   the CTranslate2 model
    tokenizer.model                                  the SentencePiece model, unchanged
    passerelle.json                                  provenance, usage and the result of the verification

With Transformers:

    model.safetensors, config.json, generation_config.json   the model and the settings of its search
    tokenizer.json, tokenizer_config.json                    the tokenizer, with the input map
    README.md                                                the model card
    tokenizer.model, passerelle.json                         what `translator import-model` also needs
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

from translator.data import phrasebook
from translator.data.input_map import STEPS
from translator.errors import ExportError
from translator.export.check import Agreement, check
from translator.export.model_card import model_card
from translator.files import flush_and_rename
from translator.model_folder import TOKENIZER, LoadedModel, load_model_folder, read_manifest
from translator.translation.inference import Translator

Format = Literal["ctranslate2", "huggingface"]
ABOUT, CARD = "passerelle.json", "README.md"

#: The program that each format is for, and the optional dependencies that convert to it.
_NEEDS = {"ctranslate2": ("CTranslate2", "export"), "huggingface": ("Transformers", "huggingface")}


def export(
    model_folder: Path,
    output: Path,
    lines: Sequence[str],
    references: Sequence[str] | None = None,
    *,
    file_format: Format = "ctranslate2",
) -> Agreement:
    """Convert a model folder to another format, and verify that both models translate alike.

    Args:
        model_folder: the model folder to export.
        output: the folder to create; it must not exist.
        lines: lines in the source language, which both models translate for the verification.
        references: translations of the lines. If they are given, BLEU scores are compared, too.
        file_format: the format of the folder.

    Returns:
        The result of the verification.

    Raises:
        ExportError: `output` exists or has no parent folder, the program of the format is not installed or
            does not have such models, or the exported model translates differently. Nothing is written.
        ModelError: `model_folder` is not a complete model folder, or a weight is not finite.
        DataError: all lines are blank.
    """
    program, extra = _NEEDS[file_format]
    try:
        converter = import_module(f"translator.export.to_{file_format}")
    except ImportError as error:
        raise ExportError(
            f"exporting needs {program} ({error}); install it: pip install 'passerelle[{extra}]'"
        ) from None
    loaded = load_model_folder(model_folder)
    with new_folder(output) as partial:
        engine = converter.convert(partial, loaded)
        (partial / TOKENIZER).write_bytes(loaded.tokenizer.model)
        translator = Translator(loaded.model, loaded.tokenizer, loaded.config)
        agreement = check(translator, engine, lines, references)
        about: dict[str, Any]
        if file_format == "ctranslate2":
            about = _usage(loaded, model_folder)
        else:
            engine.check_tokenizer(translator, lines)
            about = {"config": loaded.config.model_dump(mode="json"), "manifest": loaded.manifest}
            (partial / CARD).write_text(model_card(loaded, output.name), encoding="utf-8", newline="\n")
        made_by = {"passerelle": metadata.version("passerelle"), program.lower(): converter.VERSION}
        about = {"made_by": made_by, **about, "check": asdict(agreement)}
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        (partial / ABOUT).write_text(text, encoding="utf-8", newline="\n")
    return agreement


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Create a folder under a temporary name, and rename it to `output` at the end of the block.

    If the block raises an exception, the folder is removed.

    Raises:
        ExportError: `output` exists, has no parent folder or cannot be written.
    """
    if output.exists() or output.is_symlink():
        raise ExportError(f"{output}: exists already; give a new name")
    if not output.absolute().parent.is_dir():
        raise ExportError(f"{output}: there is no folder {output.parent}; create it first")
    try:
        temporary = tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.absolute().parent)
    except OSError as error:
        raise ExportError(f"{output}: cannot be written: {error.strerror}; give another folder") from None
    with temporary:
        partial = Path(temporary.name) / output.name
        partial.mkdir()
        yield partial
        flush_and_rename(partial, output)


def lines_to_check(model_folder: Path) -> list[str]:
    """Return the default lines for the verification: the 300 hand-written lines of the phrasebook.

    The lines are in the model's source language. If the phrasebook does not have that language, the French
    lines are returned. They serve the purpose, because any text can reveal a difference between the models.

    Raises:
        ModelError: the folder has no manifest.
    """
    language = read_manifest(model_folder).get("source_language")
    language = language if language in phrasebook.LANGUAGES else phrasebook.LANGUAGES[0]
    return [pair[language] for pair in phrasebook.pairs("challenge")]


def _usage(loaded: LoadedModel, folder: Path) -> dict[str, Any]:
    """Return the model's provenance, and the settings with which CTranslate2 translates as we do."""
    tokenizer, config = loaded.tokenizer, loaded.config
    manifest = {name: loaded.manifest.get(name) for name in ("created", "git_commit", "sha256")}
    return {
        "source_language": config.data.source_language,
        "target_language": config.data.target_language,
        "model": {"name": "/".join(folder.resolve().parts[-2:]), **manifest},
        # The input map is applied to a text before the tokenizer. Models of older versions have no input map.
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
            # The symbol that marks a text in capitals. Such a text is converted to lower case before it is
            # encoded, unless converting it back would not give the original. Old models have no such symbol.
            "capitals": tokenizer.capitals,
            "max_source_pieces": config.model.max_length - 1,
        },
        # Arguments of ctranslate2.Translator.translate_batch. Our search also limits the length of outputs,
        # as `max_output` says.
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
