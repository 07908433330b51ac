"""The subcommands `export`, `import-model` and `info`, which read a model folder or write one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from translator.cli.options import JsonOption, ModelOption, lines_of, model_folder, parallel_lines
from translator.errors import UsageError


def export_command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to create.")],
    model: ModelOption = None,
    file_format: Annotated[
        Literal["ctranslate2", "huggingface"],
        typer.Option("--format", help="huggingface: for Transformers, with a model card."),
    ] = "ctranslate2",
    lines: Annotated[
        Path | None,
        typer.Option("--check", help="Lines for the comparison. [default: 300 of the phrasebook]"),
    ] = None,
    references: Annotated[
        Path | None, typer.Option("--check-references", help="Their translations: also compare BLEU.")
    ] = None,
) -> None:
    """Convert a model to CTranslate2 or Transformers, and check that it still translates in the same way."""
    if references is not None and lines is None:
        raise UsageError("--check-references are translations of the lines of --check; give both")
    from translator.export.folder import export, lines_to_check

    folder = model_folder(model)
    if lines is not None and references is not None:
        sources, targets = parallel_lines(lines, references)
    else:
        sources, targets = (lines_to_check(folder) if lines is None else lines_of(lines)), None
    print("\n".join(export(folder, output, sources, targets, file_format=file_format).lines()))
    print(f"exported: {output}")


def import_model_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `export --format huggingface` wrote.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="MODEL", help="Model folder to create.")],
) -> None:
    """Make a model folder from a folder for Transformers, whose weights may have been trained further."""
    from translator.export.from_huggingface import import_model

    if import_model(folder, output):
        print(f"imported: {output}, with the weights that were exported")
    else:
        print(f"imported: {output}, with other weights than were exported, so without scores")


def info_command(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="A run or a model folder. [default: newest finished run]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the data, scores, size and configuration of a model, and the level of the C operations."""
    from translator.building import n_parameters
    from translator.engine import native_library
    from translator.model_folder import load_model_folder

    loaded = load_model_folder(model_folder(model))
    facts = {
        **loaded.manifest,
        "parameters": n_parameters(loaded.model),
        "pieces": len(loaded.tokenizer),
        "model": loaded.config.model.model_dump(),
        "native": native_library.level() or f"none: {native_library.problem()}",
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for key, value in _flat(facts):
        print(f"{key}: {value}")


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
