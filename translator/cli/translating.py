"""The verbs that put text through a model: `translate`, `evaluate` and `score`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from translator import console
from translator.cli.options import (
    BatchOption,
    BeamOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    lines_of,
    load,
    model_folder,
    parallel,
)
from translator.errors import DataError, PasserelleError, UsageError

if TYPE_CHECKING:
    from translator.config import Config
    from translator.inference import Translation


def translate_command(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT …]", help="Texts; none: lines of stdin, or a prompt.")
    ] = None,
    model: ModelOption = None,
    beam: BeamOption = None,
    n_best: Annotated[int, typer.Option("--n-best", min=1, help="Translations of each text.")] = 1,
    prefix: Annotated[str, typer.Option("--prefix", help="What every translation must begin with.")] = "",
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print a JSON object a line, with scores.")] = False,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
) -> None:
    """Translate texts, or each line of standard input: as many lines out as in, in order."""
    translator = load(model, device, precision)
    number = 0

    def answer(sources: list[str], endings: list[str]) -> None:
        nonlocal number
        found = translator.translate(
            sources, beam_size=beam, n_best=n_best, batch_size=batch_size, prefix=prefix
        )
        for source, translation, ending in zip(sources, found, endings, strict=True):
            number += 1
            for line in _output_lines(number, source, translation, n_best, jsonl):
                sys.stdout.write(f"{line}{ending}\n")
        sys.stdout.flush()

    if texts:
        answer(
            [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts],
            [""] * len(texts),
        )
    elif sys.stdin.isatty():
        for line in _prompt(translator.config.data.source_language):
            answer([line], [""])
    else:
        from translator.stream import standard_input, waiting_lines

        warned = False
        # More than a batch at a time, so that lines of like length can share one.
        for lines in waiting_lines(standard_input(), most=16 * batch_size):
            if not warned and any(line.damaged for line in lines):
                console.note("warning: input that is no valid UTF-8 was read as U+FFFD")
                warned = True
            answer([line.text for line in lines], [line.ending for line in lines])


def _output_lines(
    number: int, source: str, translation: "Translation", n_best: int, jsonl: bool
) -> Iterator[str]:
    candidates = translation.candidates
    if jsonl:
        record: dict[str, Any] = {"line": number, "source": source, "text": translation.text}
        record |= {"score": round(translation.score, 4), "parts": translation.n_parts}
        if n_best > 1:
            record["n_best"] = [{"text": c.text, "score": round(c.score, 4)} for c in candidates]
        yield json.dumps(record, ensure_ascii=False)
    elif n_best > 1:
        for candidate in candidates or (translation,):
            yield f"{number}\t{candidate.score:.4f}\t{candidate.text}"
    else:
        yield translation.text


def _prompt(language: str) -> Iterator[str]:
    console.note("type a sentence; an empty line or Ctrl-D ends")
    while True:
        try:
            line = input(f"{language}> ")
        except EOFError:
            return
        if not line.strip():
            return
        yield line


def evaluate_command(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE …]", help="Overrides, such as data.root=FOLDER.")
    ] = None,
    model: ModelOption = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split of the model's data. [default: test]")
    ] = None,
    source: Annotated[Path | None, typer.Option("--source", help="Sentences to translate instead.")] = None,
    reference: Annotated[Path | None, typer.Option("--reference", help="Their translations.")] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Another system's translations, for a paired test.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Where our translations go. [default: the run's folder]")
    ] = None,
    beam: BeamOption = None,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Translate a test set and print BLEU, chrF and TER with signature and 95 % interval."""
    if (source is None) != (reference is None):
        raise UsageError("--source and --reference go together; give both or neither")
    if source is not None and split is not None:
        raise UsageError("--split is of the model's own data; leave it out beside --source")
    folder = model_folder(model)
    if output is not None and not output.absolute().parent.is_dir():
        raise PasserelleError(f"--output {output}: there is no folder {output.parent}; make it first")
    translator = load(folder, device, precision)
    from translator.bundle import write_whole
    from translator.evaluation import compare as paired_test
    from translator.evaluator import evaluate

    if source is not None and reference is not None:
        name, (sources, references) = source.name, parallel(source, reference)
    else:
        name = split or "test"
        sources, references = _split(translator.config, overrides or [], name)
    others = None if compare is None else lines_of(compare)
    if others is not None and len(others) != len(references):
        raise DataError(f"{compare} has {len(others)} lines and {name} has {len(references)}; give as many")
    evaluation = evaluate(translator, sources, references, beam_size=beam, batch_size=batch_size)
    output = output or folder.parent / f"{name}.hypotheses.txt"
    write_whole(output, "".join(f"{line}\n" for line in evaluation.hypotheses).encode())
    found = {"model": str(folder), "test_set": name, "hypotheses": str(output), **evaluation.to_dict()}
    tests = {} if others is None else paired_test(evaluation.hypotheses, others, references)
    if tests:
        found["compare"] = {metric: vars(test) for metric, test in tests.items()}
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print("\n".join(evaluation.lines(name)))
    for metric, test in tests.items():
        print(f"{metric} against {compare}: {test.score:.2f} and {test.other:.2f}, p = {test.p_value:.4f}")
    print(f"translations: {output}")


def _split(config: "Config", overrides: list[str], split: str) -> tuple[list[str], list[str]]:
    from translator.config_file import with_overrides
    from translator.data.corpus import open_split

    config = with_overrides(config, overrides)
    pairs = open_split(config.data, split, seed=config.train.seed)
    return list(pairs["source"]), list(pairs["target"])


def score_command(
    source: Annotated[Path, typer.Option("--source", help="Sentences, one a line.")],
    target: Annotated[Path, typer.Option("--target", help="Their translations, one a line.")],
    model: ModelOption = None,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
) -> None:
    """Print the log-probability of each given translation, by teacher forcing: a line each."""
    sources, targets = parallel(source, target)
    translator = load(model, device)
    for log_prob in translator.score(sources, targets, batch_size=batch_size):
        print(f"{log_prob:.6f}")
