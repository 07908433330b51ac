"""The subcommands `translate` and `score`."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translator import console
from translator.cli.options import (
    MAX_BEAM,
    BackendOption,
    BatchOption,
    BeamOption,
    DeviceOption,
    ModelOption,
    PrecisionOption,
    SplitOption,
    decoded,
    load,
    parallel_lines,
)

PROMPT_HELP = """\
Enter translates a line. Arrow keys move in it and recall
earlier lines, which are forgotten when the session ends.
exit, an empty line or Ctrl-D ends the session.
help and exit are words of this prompt. To translate them:
  {program} translate help exit
To translate the lines of a file:
  {program} translate < FILE"""

if TYPE_CHECKING:
    from translator.cli.stream import InputLine
    from translator.translation.joining import Translation


def translate_command(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT …]", help="Texts. [default: lines of stdin, or a prompt]"),
    ] = None,
    model: ModelOption = None,
    beam: BeamOption = None,
    n_best: Annotated[
        int, typer.Option("--n-best", min=1, max=MAX_BEAM, help="Number of translations per text.")
    ] = 1,
    prefix: Annotated[
        str, typer.Option("--prefix", help="Text that every translation must start with.")
    ] = "",
    split_sentences: SplitOption = "auto",
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per line, with scores.")
    ] = False,
    batch_size: BatchOption = 128,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    backend: BackendOption = "auto",
) -> None:
    """Translate texts, or each line of standard input: one output line per input line, in order."""
    translator = load(model, device, precision, split_sentences=split_sentences, backend=backend)
    number = 0
    # Up to eight batches of lines are translated together, so that lines of similar length share a batch.
    for lines in _groups_of_lines(texts, translator.config.data.source_language, max_lines=8 * batch_size):
        found = translator.translate(
            [line.text for line in lines], beam_size=beam, n_best=n_best, batch_size=batch_size, prefix=prefix
        )
        for line, translation in zip(lines, found, strict=True):
            number += 1
            for output in _output_lines(number, line.text, translation, n_best, jsonl):
                sys.stdout.write(f"{output}{line.ending}\n")
        sys.stdout.flush()


def _groups_of_lines(
    texts: list[str] | None, language: str, *, max_lines: int
) -> "Iterator[list[InputLine]]":
    """Yield the texts, if there are any; else the lines of a prompt or of standard input as they arrive.

    If the standard input has a line that is probably not UTF-8, print a warning about the first such line.
    """
    from translator.cli.stream import InputLine, standard_input, waiting_lines

    if texts:
        for text in texts:
            _note_file(text)
        yield [InputLine(decoded(text), "", damaged=False) for text in texts]
    elif sys.stdin.isatty():
        for line in _prompt(language):
            _note_file(line)
            yield [InputLine(line, "", damaged=False)]
    else:
        number, warned = 0, False
        for lines in waiting_lines(standard_input(), max_lines=max_lines):
            warned = warned or _warn_about_encoding(lines, number)
            number += len(lines)
            yield lines


def _note_file(text: str) -> None:
    """If a text is the name of a file, print how the lines of the file are translated."""
    if os.path.isfile(text):
        name = decoded(shlex.quote(text))
        console.note(f"{decoded(text)} is a file; its name is translated. To translate its lines: < {name}")


def _warn_about_encoding(lines: "list[InputLine]", n_before: int) -> bool:
    """Print a warning about the first line that is probably not UTF-8, if there is one.

    Args:
        lines: consecutive lines of the input.
        n_before: number of input lines before `lines`.

    Returns:
        Whether a warning was printed.
    """
    for number, (text, _, damaged) in enumerate(lines, start=n_before + 1):
        if damaged or 4 * text.count("\0") > len(text):
            problem = "is not valid UTF-8, and was read as U+FFFD" if damaged else "contains NULs"
            console.note(f"warning: line {number} {problem}; if it is not UTF-8, convert it")
            return True
    return False


def _output_lines(
    number: int, source: str, translation: "Translation", n_best: int, jsonl: bool
) -> Iterator[str]:
    candidates = translation.candidates
    if jsonl:
        record: dict[str, Any] = {"line": number, "source": source, "text": translation.text}
        record |= {"score": round(translation.score, 4), "parts": translation.n_parts}
        if translation.confidence is not None:
            record["confidence"] = round(translation.confidence.probability, 4)
            record["is_guess"] = translation.confidence.is_guess
        if n_best > 1:
            record["n_best"] = [{"text": c.text, "score": round(c.score, 4)} for c in candidates]
        yield json.dumps(record, ensure_ascii=False)
    elif n_best > 1:
        for candidate in candidates or (translation,):
            yield f"{number}\t{candidate.score:.4f}\t{candidate.text}"
    else:
        yield translation.text


def _prompt(language: str) -> Iterator[str]:
    """Yield the lines that are typed, except the words of the prompt."""
    with suppress(ImportError):  # not on Windows
        import readline  # noqa: F401  with it, `input` edits lines and recalls earlier ones
    console.note("type a sentence; help says more, exit or Ctrl-D ends the session")
    while True:
        try:
            # `input` edits lines only if it prints the prompt on stdout. Without a terminal, stdout gets only
            # the results.
            with nullcontext() if sys.stdout.isatty() else redirect_stdout(sys.stderr):
                line = input(f"{language}> ")
        except EOFError:
            console.note("")
            return
        if line.strip() in ("", "exit"):
            return
        if line.strip() == "help":
            console.note(PROMPT_HELP.format(program=console.program()))
        else:
            yield line


def score_command(
    source: Annotated[Path, typer.Option("--source", help="Sentences, one per line.")],
    target: Annotated[Path, typer.Option("--target", help="Their translations, one per line.")],
    model: ModelOption = None,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
) -> None:
    """Print how probable the model finds each given translation: its log-probability, one per line."""
    sources, targets = parallel_lines(source, target)
    translator = load(model, device)
    for log_prob in translator.score(sources, targets, batch_size=batch_size):
        print(f"{log_prob:.6f}")
