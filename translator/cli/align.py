"""The verb `align`: which words of a pair go together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator.cli.options import (
    MOST,
    BatchOption,
    DeviceOption,
    ModelOption,
    load,
    parallel,
)

if TYPE_CHECKING:
    from translator.translation.aligner import Aligner
    from translator.translation.inference import Translator

ReverseOption = Annotated[
    Path | None,
    typer.Option("--reverse-model", metavar="FOLDER", help="Of the other direction: links by both models."),
]
LayerOption = Annotated[
    int | None,
    typer.Option("--layer", min=1, max=MOST, help="Decoder layer to read, from 1. [default: all]"),
]
TokenizedOption = Annotated[
    bool, typer.Option("--tokenized", help="The words are what stands between the spaces.")
]
OneBasedOption = Annotated[bool, typer.Option("--one-based", help="In lines of links, the first word is 1.")]


def align_command(
    source: Annotated[Path, typer.Option("--source", help="Sentences, one a line.")],
    target: Annotated[Path, typer.Option("--target", help="Their translations, one a line.")],
    model: ModelOption = None,
    reverse_model: ReverseOption = None,
    layer: LayerOption = None,
    tokenized: TokenizedOption = False,
    one_based: OneBasedOption = False,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
) -> None:
    """Print which words of each pair go together, a line of links `i-j` a pair (Pharaoh format)."""
    sources, targets = parallel(source, target)
    aligner = load_aligner(load(model, device), reverse_model, layer=layer, device=device)
    from translator.alignment.links import format_links

    step = 64 * batch_size  # so many that pairs of like length can share a batch, and the first come soon
    for at in range(0, len(sources), step):
        part = slice(at, at + step)
        for links in aligner.align(sources[part], targets[part], tokenized=tokenized, batch_size=batch_size):
            print(format_links(links, one_based=one_based))


def load_aligner(
    translator: "Translator", reverse_model: Path | None, *, layer: int | None, device: str
) -> "Aligner":
    """Make an aligner of a loaded model and the folder of another one, of the other direction."""
    from translator.translation.aligner import Aligner

    reverse = None if reverse_model is None else load(reverse_model, device)
    return Aligner(translator, layer=layer, reverse=reverse)
