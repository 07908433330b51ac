"""The subcommand `synthesize`: pairs for training, with machine-made sources."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator import console
from translator.cli.options import (
    MAX_COUNT,
    BackendOption,
    BatchOption,
    BeamOption,
    DeviceOption,
    ModelOption,
    PrecisionOption,
    check_inputs,
    load,
)
from translator.errors import DataError, UsageError
from translator.signals import exit_on_signals

if TYPE_CHECKING:
    from translator.translation.inference import Translator

#: What would end a column or a row of the table.
_SEPARATORS = re.compile(r"[\t\r\n]+")


def synthesize_command(
    output: Annotated[Path, typer.Option("--output", metavar="TSV", help="New file for the pairs.")],
    text: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Sentences, one per line. [default: stdin]")
    ] = None,
    model: ModelOption = None,
    beam: BeamOption = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample from the model's distribution, in PyTorch.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of --sample.")] = 1,
    keep: Annotated[
        float, typer.Option("--keep", help="Fraction of pairs to keep, the most probable per piece.")
    ] = 1.0,
    batch_size: BatchOption = 128,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    backend: BackendOption = "auto",
) -> None:
    """Translate text into pairs with machine-made sources, for a training in the other direction."""
    from translator.cli.output import check_new_output, write_output

    if sample and beam is not None:
        raise UsageError("--sample does not search with a beam; leave out --beam")
    if not 0 < keep <= 1:
        raise UsageError(f"--keep {keep} is not a fraction; give a number above 0 and at most 1")
    check_new_output("--output", output)
    with exit_on_signals():
        lines = _lines(text)
        backend = "torch" if sample and backend == "auto" else backend
        translator = load(model, device, precision, backend=backend)
        pairs = _pairs(translator, lines, beam=beam, seed=seed if sample else None, batch_size=batch_size)
        if not pairs:
            raise DataError(f"{text or 'stdin'}: no line has text to translate, so nothing is written")
        best = sorted(range(len(pairs)), key=lambda i: -pairs[i][0])[: max(1, round(keep * len(pairs)))]
        data = translator.config.data
        rows = [f"{data.target_language}\t{data.source_language}\n", *(pairs[i][1] for i in sorted(best))]
        write_output("--output", output, "".join(rows).encode())
    console.note(
        f"{output}: {len(best):,} of {len(lines):,} lines; left out: {len(lines) - len(pairs):,} blank, "
        f"malformed or with an empty translation, {len(pairs) - len(best):,} improbable"
    )


def _pairs(
    translator: "Translator", lines: list[str], *, beam: int | None, seed: int | None, batch_size: int
) -> list[tuple[float, str]]:
    """Return the log-probability per piece, and the row, of each line with a translation."""
    from translator.translation.synthesis import synthesize

    pairs = []
    step = 8 * batch_size  # so that lines of similar length share a batch, as in `translate`
    for start in _with_progress(range(0, len(lines), step)):
        group = lines[start : start + step]
        translations = synthesize(
            translator, group, beam_size=beam, seed=seed, first_number=start + 1, batch_size=batch_size
        )
        for line, translation in zip(group, translations, strict=True):
            if made := _cell(translation.text):
                pairs.append((translation.score, f"{made}\t{_cell(line)}\n"))
    return pairs


def _lines(path: Path | None) -> list[str]:
    """Return the lines of a file or of standard input. Malformed ones are empty."""
    if path is None:
        from translator.cli.stream import standard_input, waiting_lines

        groups = waiting_lines(standard_input(), max_lines=MAX_COUNT)
        return ["" if line.damaged else line.text for lines in groups for line in lines]
    from translator.data.lines import Line, scan_lines

    check_inputs(path)
    return [line.text if isinstance(line, Line) else "" for line in scan_lines(path)]


def _cell(text: str) -> str:
    return _SEPARATORS.sub(" ", text).strip()


def _with_progress(starts: range) -> Iterator[int]:
    """Yield the numbers, with a progress bar if stderr is a terminal."""
    if not console.is_terminal():
        yield from starts
        return
    with console.progress_bar() as bar:
        task = bar.add_task("synthesizing", total=len(starts), status="")
        for start in starts:
            yield start
            bar.advance(task)
