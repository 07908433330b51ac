"""The subcommand `import`: what files are, and a configuration that trains on them."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from translator.errors import DataError
from translator.signals import exit_on_signals

_N_SHOWN = 5
_HEADING = """\
# Written by `translator import`. Next:
#     translator check-data {path}     reports what is wrong with the corpus
#     translator train {path}
"""


def import_command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="File with both languages, or one for each language."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="CONFIG", help="New file for the configuration.")
    ] = None,
    source: Annotated[str, typer.Option("--source-language", help="Language to translate from.")] = "fr",
    target: Annotated[str, typer.Option("--target-language", help="Language to translate into.")] = "en",
) -> None:
    """Say what files are (TMX, PO, Excel, CSV, text …), and print a configuration that trains on them."""
    from translator.cli.output import check_new_output, write_output

    if output is not None:
        check_new_output("--output", output)
    for path in files:
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            raise DataError(f"{path}: there is no such file; looked for it in {Path.cwd()}")
    from translator.config.yaml import write_yaml
    from translator.data.inspection import inspect

    with exit_on_signals():
        found = inspect(files, source, target)
        data = {"source_language": source, "target_language": target, **found.data}
        n_pairs, report = _read(data)
    if n_pairs >= 4:
        size = max(1, min(500, n_pairs // 10))
        data["held_out"] = {"val": size, "test": size}
    path = output or Path("my-corpus.yaml")
    text = _HEADING.format(path=path) + write_yaml({"data": data, **_settings(n_pairs)})
    lines = [*found.reasons, *report]
    if output is None:
        sys.stdout.write("".join(f"# {line}\n" for line in lines) + text)
        return
    print("\n".join(lines))
    write_output("--output", output, text.encode())
    print(f"configuration: {output}")


def _read(data: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the number of pairs, and lines that say how many were left out and show the first ones."""
    from translator.config import DataConfig
    from translator.data import corpus
    from translator.data.report import Report

    with TemporaryDirectory() as folder:
        config = DataConfig(**data, cache=folder)
        table = corpus.open_split(config, "train", seed=1)
        report = Report(len(table))
        report.count_malformed(corpus.open_malformed(config, "train"))
        lines = [f"{len(table):,} pairs; the first ones:"]
        for row in table.select(range(min(_N_SHOWN, len(table)))):
            lines += [f"  {config.source_language}: {row['source'].strip()}"]
            lines += [f"  {config.target_language}: {row['target'].strip()}"]
        return len(table), [*report.messages(), *(line.replace("\n", " ") for line in lines)]


def _settings(n_pairs: int) -> dict[str, Any]:
    """Return the sections of a configuration that fit a corpus of this size; see configs/my-corpus.yaml."""
    width = 128 if n_pairs <= 200_000 else 256
    shape = {"width": width, "n_heads": 4, "feed_forward": 4 * width}
    dropout = 0.3 if n_pairs < 20_000 else 0.2 if n_pairs <= 200_000 else 0.1
    return {
        "tokenizer": {"vocabulary_size": 4000 if n_pairs < 50_000 else 8000},
        "model": {**shape, "n_encoder_layers": 3, "n_decoder_layers": 3, "dropout": dropout},
        "train": {"max_minutes": 15.0, "optimizer": "muon", "learning_rate": 8e-3, "warmup_steps": 100},
    }
