"""The subcommand `align`: print word alignments."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator.cli.options import (
    MAX_COUNT,
    BatchOption,
    DeviceOption,
    ModelOption,
    lines_of,
    load,
    parallel_lines,
)
from translator.errors import DataError

if TYPE_CHECKING:
    from translator.alignment.links import Gold
    from translator.translation.aligner import Aligner
    from translator.translation.inference import Translator

ReverseOption = Annotated[
    Path | None,
    typer.Option(
        "--reverse-model", metavar="FOLDER", help="Model of the other direction: combine the links of both."
    ),
]
LayerOption = Annotated[
    int | None,
    typer.Option("--layer", min=1, max=MAX_COUNT, help="Decoder layer to read, from 1. [default: all]"),
]
TokenizedOption = Annotated[
    bool, typer.Option("--tokenized", help="The text is tokenized already: split at spaces only.")
]
OneBasedOption = Annotated[bool, typer.Option("--one-based", help="Number words from 1 in the links.")]


def align_command(
    source: Annotated[Path, typer.Option("--source", help="Sentences, one per line.")],
    target: Annotated[Path, typer.Option("--target", help="Their translations, one per line.")],
    model: ModelOption = None,
    reverse_model: ReverseOption = None,
    layer: LayerOption = None,
    tokenized: TokenizedOption = False,
    one_based: OneBasedOption = False,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
) -> None:
    """Print the word alignment of each sentence pair: one line of links `i-j` per pair (Pharaoh format)."""
    sources, targets = parallel_lines(source, target)
    aligner = load_aligner(load(model, device), reverse_model, layer=layer, device=device)
    from translator.alignment.links import format_links

    # A step of 64 batches is large enough to put pairs of similar length into the same batch, and small
    # enough to print the first lines early.
    step = 64 * batch_size
    for start in range(0, len(sources), step):
        part = slice(start, start + step)
        for links in aligner.align(sources[part], targets[part], tokenized=tokenized, batch_size=batch_size):
            print(format_links(links, one_based=one_based))


def load_aligner(
    translator: "Translator", reverse_model: Path | None, *, layer: int | None, device: str
) -> "Aligner":
    """Return an aligner that uses a loaded model.

    `reverse_model` is the folder of a model that translates in the other direction. If it is given, that
    model is loaded as well, and the aligner combines the links that the two models find.
    """
    from translator.translation.aligner import Aligner

    reverse = None if reverse_model is None else load(reverse_model, device)
    return Aligner(translator, layer=layer, reverse=reverse)


def read_gold(path: Path, n_words: Sequence[tuple[int, int]], *, one_based: bool) -> "list[Gold]":
    """Read a file of gold alignments, which are made by humans. It has one line for each sentence pair.

    Args:
        path: the file.
        n_words: for each pair, the number of source words and the number of target words.
        one_based: whether the file numbers words from 1 rather than from 0.

    Raises:
        DataError: the file does not have exactly one line for each pair, a line is malformed, or a link
            refers to a word that its pair does not have.
    """
    from translator.alignment.links import parse_links

    lines = lines_of(path)
    if len(lines) != len(n_words):
        raise DataError(
            f"{path} has {len(lines)} lines and the text {len(n_words)}; give one line for each pair"
        )
    return [
        parse_links(line, where=f"{path}:{number}", one_based=one_based, n_words=n_words_of_pair)
        for number, (line, n_words_of_pair) in enumerate(zip(lines, n_words, strict=True), start=1)
    ]
