"""Options that several verbs share, and what their values lead to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from translator import console
from translator.errors import DataError, UsageError

if TYPE_CHECKING:
    from translator.engine.quantized import Precision
    from translator.translation.inference import DecodingBackend, SplitSentences, Translator

#: Larger numbers are slips of a key: no memory is enough for them, and far larger ones fit no machine word.
MOST, MOST_BEAM = 1_000_000, 1_000

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="Model folder. [default: newest finished run]"),
]
BeamOption = Annotated[
    int | None,
    typer.Option("--beam", min=1, max=MOST_BEAM, help="Hypotheses kept; 1 is greedy. [default: the model's]"),
]
BatchOption = Annotated[
    int, typer.Option("--batch-size", min=1, max=MOST, help="Sentences decoded together.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where to run: cpu, cuda, mps …")]
PrecisionOption = Annotated[
    Literal["float32", "bfloat16", "int8"],
    typer.Option("--precision", help="Of products; int8 is the quickest on a CPU."),
]
BackendOption = Annotated[
    Literal["auto", "torch", "reference"],
    typer.Option("--backend", help="What computes; reference: the textbook model alone, slowly."),
]
SplitOption = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(
        "--split-sentences", help="Translate the sentences of a line one by one; auto: as it learnt."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def model_folder(given: Path | None) -> Path:
    """Return the folder given, or that of the run given, or of the newest one below runs/, and say so."""
    from translator.model_folder import MANIFEST, newest_model

    if given is None:
        folder = newest_model(Path("runs"))
    elif not (given / MANIFEST).exists() and (given / "model" / MANIFEST).exists():
        folder = given / "model"
    else:
        return given
    console.note(f"model: {folder}")
    return folder


def load(
    folder: Path | None,
    device: str,
    precision: "Precision" = "float32",
    *,
    split_sentences: "SplitSentences" = "auto",
    backend: "DecodingBackend" = "auto",
) -> "Translator":
    """Load a model for decoding; say so where the CPU lacks the precision asked for."""
    folder = model_folder(folder)
    from translator.engine.runtime import tune_malloc
    from translator.translation.inference import Translator

    tune_malloc()
    if backend == "reference" and precision != "float32":
        raise UsageError(f"--backend reference computes in float32; leave --precision {precision} out")
    translator = Translator.load(
        folder, device=device, precision=precision, split_sentences=split_sentences, backend=backend
    )
    if translator.precision != precision:
        console.note(
            f"this CPU does not multiply {precision}; {translator.precision} is quicker and was taken"
        )
    return translator


def parallel(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Read two files of as many lines."""
    from translator.data.lines import MalformedError
    from translator.data.readers import read_parallel

    _check_inputs(source, target)
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

    _check_inputs(path)
    return [line.text for line in read_lines(path)]


def _check_inputs(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path}: this is a folder; name a file of lines")
        if not path.exists():
            where = "" if path.is_absolute() else f"; it is looked for in {Path.cwd()}"
            raise DataError(f"{path}: there is no such file{where}")
