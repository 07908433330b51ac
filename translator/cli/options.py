"""Options that several subcommands share.

The module also has functions that load the models and read the text files that are given by options.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from translator import console
from translator.errors import DataError, UsageError

if TYPE_CHECKING:
    from translator.engine.native_decoding import Precision
    from translator.translation.decoders import DecodingBackend
    from translator.translation.inference import Translator
    from translator.translation.splitting import SplitSentences

#: The largest values that options accept: `MAX_BEAM` for the beam size and the number of translations, and
#: `MAX_COUNT` for batch sizes and layers. Larger values are probably typing errors, and would exhaust
#: memory or overflow int64.
MAX_COUNT, MAX_BEAM = 1_000_000, 1_000

#: Printed before PyTorch is imported and a corpus is read, which take seconds.
PREPARING = "preparing …"

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="A run or a model folder. [default: newest finished run]"),
]
BeamOption = Annotated[
    int | None,
    typer.Option("--beam", min=1, max=MAX_BEAM, help="Beam size; 1 is greedy search. [default: the model's]"),
]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, max=MAX_COUNT, help="Sentences per batch.")]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="Device: cpu, cuda, mps …")]
PrecisionOption = Annotated[
    Literal["float32", "bfloat16", "int8"],
    typer.Option("--precision", help="Precision of matrix products. On a CPU, PyTorch always uses float32."),
]
BackendOption = Annotated[
    Literal["auto", "torch", "reference"],
    typer.Option(
        "--backend",
        help="auto: C on a CPU, if possible, else PyTorch; reference: the textbook model, slow.",
    ),
]
SplitOption = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(
        "--split-sentences", help="Translate each sentence of a line separately; auto: as in training."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def decoded(argument: str) -> str:
    """Return an argument of the command line, with bytes that are not valid UTF-8 replaced by U+FFFD."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def model_folder(given: Path | None) -> Path:
    """Find the model folder to use. If it is not `given` itself, print a note with its path.

    Args:
        given: a model folder, the folder of a run, or None. A model folder is returned as it is. For the
            folder of a run, the model folder inside it is returned. For None, the model folder of the newest
            finished run under runs/ is returned.
    """
    from translator.model_folder import model_of, newest_model

    folder = newest_model(Path("runs")) if given is None else model_of(given)
    if folder != given:
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
    """Load a model for decoding.

    If C is not available or does not support the model, PyTorch decodes, and a note says why.
    """
    folder = model_folder(folder)
    from translator.engine.memory import tune_malloc
    from translator.translation.inference import Translator

    tune_malloc()
    if backend in ("torch", "reference") and device == "cpu" and precision != "float32":
        raise UsageError(f"PyTorch computes in float32 on a CPU; leave out --precision {precision}")
    translator = Translator.load(
        folder, device=device, precision=precision, split_sentences=split_sentences, backend=backend
    )
    if translator.why_not_native:
        console.note(f"PyTorch decodes, in {translator.precision}: {translator.why_not_native}")
    return translator


def parallel_lines(source: Path, target: Path) -> tuple[list[str], list[str]]:
    """Return the lines of a source file and of a target file, which must have equally many lines."""
    from translator.data.lines import MalformedError
    from translator.data.readers import read_parallel

    check_inputs(source, target)
    sources, targets = [], []
    for row in read_parallel(source, target):
        if isinstance(row, MalformedError):
            raise row
        sources.append(row.source)
        targets.append(row.target)
    return sources, targets


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file."""
    from translator.data.lines import read_lines

    check_inputs(path)
    return [line.text for line in read_lines(path)]


def check_inputs(*paths: Path) -> None:
    """Check that the paths are those of files."""
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path}: this is a folder; name a text file")
        if not path.exists():
            where = "" if path.is_absolute() else f"; looked for it in {Path.cwd()}"
            raise DataError(f"{path}: there is no such file{where}")
