"""The subcommand `import`: what files are, and a configuration that trains on them."""

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from unicodedata import category

import typer

from translator.errors import DataError
from translator.signals import exit_on_signals

_N_SHOWN = 5
#: Into fewer pairs than these, the phrasebook is mixed, so that a model does not forget everyday French.
MIXED_BELOW = 200_000
#: Below this number of pairs, a quarter of the tokens is many passes over them.
SMALL = 20_000
_HEADING = """\
# Written by `translator import`. Next:
#     translator check-data {path}     reports what is wrong with the corpus
#     translator train {path}     from scratch; or, from French into English, with
#         train.init_from=runs/phrasebook/model train.max_minutes=2     which has this vocabulary and shape
# From scratch and with more than 20,000 pairs, 3 layers, width 128, 4 heads and feed_forward 512 learn more.
"""
#: The sections besides `data`, as in configs/my-corpus.yaml.
_SECTIONS = {
    "tokenizer": {"vocabulary_size": 5000, "digits_per_piece": 2},
    "model": {"width": 128, "n_heads": 4, "feed_forward": 512, "n_encoder_layers": 2}
    | {"n_decoder_layers": 2, "position_base": 300, "dropout": 0.1},
    "train": {"max_minutes": 15, "optimizer": "muon", "learning_rate": 8e-3, "warmup_steps": 100}
    | {"attention_init": "copying"},
}


def import_command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="Files with both languages, or one for each language."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="CONFIG", help="New file for the configuration.")
    ] = None,
    source: Annotated[
        str, typer.Option("--source-language", metavar="NAME", help="Language to translate from.")
    ] = "fr",
    target: Annotated[
        str, typer.Option("--target-language", metavar="NAME", help="Language to translate into.")
    ] = "en",
) -> None:
    """Say what files are (TMX, PO, Excel, CSV, text …), and print a configuration that trains on them."""
    from translator.cli.output import check_new_output, write_output

    if output is not None:
        check_new_output("--output", output)
    for path in files:
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            raise DataError(f"{path}: there is no such file; looked for it in {Path.cwd()}")
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path} is a pipe or a device; write it to a file first, and name that")
    from translator.config.file import config_from_json
    from translator.config.yaml import write_yaml
    from translator.data.inspection import inspect

    languages = {"source_language": source, "target_language": target}
    config_from_json(json.dumps({"data": languages, **_SECTIONS}), where="languages")  # they are checked
    lines: list[str] = []
    sources: list[dict[str, Any]] = []
    n_pairs = 0
    with exit_on_signals():
        for found in inspect(files, source, target):
            n_read, report = _read({**languages, **found.data})
            name = _name(found.data["files"]["train"], [other["name"] for other in sources])
            size = min(500, n_read // 10)
            held_out = {split: size for split in ("val", "test") if size and split not in found.data["files"]}
            sources.append({"name": name, "weight": 1.0, **found.data, "held_out": held_out})
            lines += [*found.reasons, *report]
            n_pairs += n_read
    if {source, target} == {"fr", "en"} and n_pairs < MIXED_BELOW:
        weight = len(sources) * (3.0 if n_pairs < SMALL else 0.5)
        sources.append({"name": "phrasebook", "weight": weight, "format": "phrasebook"})
        lines.append("the phrasebook is mixed in, so that everyday French is not forgotten")
    lines = [_printable(line) for line in lines]
    path = output or Path("my-corpus.yaml")
    text = _HEADING.format(path=path) + write_yaml(
        {"data": {**languages, "sources": sources, "random_names": 0.9}, **_SECTIONS}
    )
    if output is None:
        sys.stdout.write("".join(f"# {line}\n" for line in lines) + text)
        return
    print("\n".join(lines))
    write_output("--output", output, text.encode())
    print(f"configuration: {output}")


def _printable(line: str) -> str:
    shown = (
        x if x.isprintable() or category(x) == "Zs" else x.encode("unicode_escape").decode() for x in line
    )
    return "".join(shown)


def _name(train: str | dict[str, str], taken: list[str]) -> str:
    """Return a name for a source, after its file."""
    file = Path(train if isinstance(train, str) else next(iter(train.values())))
    name = re.sub("[^A-Za-z0-9]+", "-", file.name.partition(".")[0]).strip("-") or "corpus"
    while name in (*taken, "phrasebook"):
        name += "-2"
    return name


def _read(data: dict[str, Any]) -> tuple[int, list[str]]:
    """Return the number of pairs, and lines that say how many were left out and show the first ones."""
    from translator.config import DataConfig
    from translator.data import corpus
    from translator.data.report import report_malformed

    with TemporaryDirectory() as folder:
        config = DataConfig(**data, cache=folder)
        table = corpus.open_split(config, "train", seed=1)
        report = report_malformed(len(table), corpus.open_malformed(config, "train")[""])
        lines = [f"{len(table):,} pairs; the first ones:"]
        for row in table.select(range(min(_N_SHOWN, len(table)))):
            lines += [f"  {config.source_language}: {row['source'].strip()}"]
            lines += [f"  {config.target_language}: {row['target'].strip()}"]
        return len(table), [*report.messages(), *(line.replace("\n", " ") for line in lines)]
