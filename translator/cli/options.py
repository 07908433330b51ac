"""Options that several verbs share, and what their values lead to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from translator import console

if TYPE_CHECKING:
    from translator.inference import Translator
    from translator.model.linear import Precision

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="Model folder. [default: newest finished run]"),
]
BeamOption = Annotated[
    int | None, typer.Option("--beam", min=1, help="Hypotheses kept; 1 is greedy. [default: the model's]")
]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, help="Sentences decoded together.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where to run: cpu, cuda, mps …")]
PrecisionOption = Annotated[
    Literal["float32", "bfloat16", "int8"],
    typer.Option("--precision", help="Of products; int8 is the quickest on a CPU."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def model_folder(given: Path | None) -> Path:
    """Return the folder given, or that of the newest finished run below runs/, and say so."""
    if given is not None:
        return given
    from translator.bundle import newest_model

    folder = newest_model(Path("runs"))
    console.note(f"model: {folder}")
    return folder


def load(folder: Path | None, device: str, precision: "Precision" = "float32") -> "Translator":
    """Load a model for decoding; say so where the CPU lacks the precision asked for."""
    folder = model_folder(folder)
    from translator.allocator import keep_freed_memory
    from translator.inference import Translator

    keep_freed_memory()
    translator = Translator.load(folder, device=device, precision=precision)
    if translator.precision != precision:
        console.note(
            f"this CPU does not multiply {precision}; {translator.precision} is quicker and was taken"
        )
    return translator


def parallel(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Read two files of as many lines."""
    from translator.data.lines import MalformedError
    from translator.data.readers import read_parallel

    sources, targets = [], []
    for row in read_parallel(source, target):
        if isinstance(row, MalformedError):
            raise row
        sources.append(row.source)
        targets.append(row.target)
    return sources, targets


def lines_of(path: Path) -> list[str]:
    """Read the lines of a file."""
    from translator.data.lines import read_lines

    return [line.text for line in read_lines(path)]
