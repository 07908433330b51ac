"""The command `translator`: its verbs. What a verb does is elsewhere, imported when it is called."""

import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from translator import console
from translator.errors import DataError, PasserelleError, UsageError

if TYPE_CHECKING:
    from translator.config import Config
    from translator.inference import Translation, Translator
    from translator.model.linear import Precision

app = typer.Typer(
    name="translator",
    help="Train a small French-English translator, translate with it, and score it.",
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0, or 1 after one line on stderr, or 2 for a usage error."""
    for name, mode in (("stdin", "r"), ("stdout", "w")):
        if getattr(sys, name) is None:  # closed by whoever called us
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    console.use_utf8()
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
    except PasserelleError as error:
        code = _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        code = _fail(message, getattr(error, "exit_code", 1)) if message.strip() else 2
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", 130)
    except (BrokenPipeError, SystemExit):  # whoever read our output has gone (Typer raises the second);
        # so do we, as other filters do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = _fail(f"{where}{error.strerror or error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    console.note(f"error: {' '.join(message.split())}")
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"translator {metadata.version('passerelle')} (torch {metadata.version('torch')})")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print versions and exit."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        console.note(context.get_help())
        raise typer.Exit(2)


@app.command("train")
def train_command(
    arguments: Annotated[
        list[str], typer.Argument(metavar="CONFIG [KEY=VALUE …]", help="Configuration file, and overrides.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in the newest unfinished run of that name.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole configuration and exit.")
    ] = False,
) -> None:
    """Train a model as a configuration says, test it, and write its folder below runs/."""
    config, path = _config(arguments)
    if print_config:
        from translator.config_file import config_to_yaml

        sys.stdout.write(config_to_yaml(config))
        return
    from translator.training.run import train

    train(config, name=path.stem, resume=resume)


@app.command("check-data")
def check_data_command(
    arguments: Annotated[
        list[str], typer.Argument(metavar="CONFIG [KEY=VALUE …]", help="Configuration file, and overrides.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Read, judge and tokenise a corpus as `train` would, and report what is wrong with it."""
    from dataclasses import asdict

    from translator.data import corpus
    from translator.data.batching import padding_share, plan_epoch
    from translator.data.preparation import prepare

    config, _ = _config(arguments)
    prepared = prepare(config)
    report = prepared.report
    names = corpus.split_names(config.data)
    sizes = {name: len(corpus.open_split(config.data, name, seed=config.train.seed)) for name in names}
    plan = plan_epoch(
        prepared.lengths,
        max_tokens=config.train.max_tokens_per_batch,
        seed=config.train.seed,
        epoch=0,
    )
    facts = {
        "training_pairs": report.n_kept,
        "pairs": sizes,
        "report": asdict(report),
        "pieces": len(prepared.tokenizer),
        "tokens": {side: int(lengths.sum()) for side, lengths in prepared.lengths._asdict().items()},
        "batches_per_epoch": len(plan),
        "padding": padding_share(prepared.lengths, plan),
        "fingerprints": prepared.fingerprints,
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    print("split", "pairs", sep="\t")
    for name, size in sizes.items():
        print(name, size, sep="\t")
    print(f"\n{report.n_kept} of {report.n_pairs} training pairs are fit for training")
    for what, number, lines in report.rows():
        print(f"  {what}: {number} (lines {lines})")
    if prepared.vocabulary_message:
        print(prepared.vocabulary_message)
    print(
        f"{facts['pieces']} pieces; {len(plan)} batches an epoch, {facts['padding']:.1%} padding; "
        f"prepared in {prepared.folder}"
    )


@app.command("translate")
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
    translator = _load(model, device, precision)
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


@app.command("evaluate")
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
    folder = _model_folder(model)
    if output is not None and not output.absolute().parent.is_dir():
        raise PasserelleError(f"--output {output}: there is no folder {output.parent}; make it first")
    translator = _load(folder, device, precision)
    from translator.bundle import write_whole
    from translator.evaluation import compare as paired_test
    from translator.evaluator import evaluate

    if source is not None and reference is not None:
        name, (sources, references) = source.name, _parallel(source, reference)
    else:
        name = split or "test"
        sources, references = _split(translator.config, overrides or [], name)
    others = None if compare is None else _lines(compare)
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


@app.command("score")
def score_command(
    source: Annotated[Path, typer.Option("--source", help="Sentences, one a line.")],
    target: Annotated[Path, typer.Option("--target", help="Their translations, one a line.")],
    model: ModelOption = None,
    batch_size: BatchOption = 64,
    device: DeviceOption = "cpu",
) -> None:
    """Print the log-probability of each given translation, by teacher forcing: a line each."""
    sources, targets = _parallel(source, target)
    translator = _load(model, device)
    for log_prob in translator.score(sources, targets, batch_size=batch_size):
        print(f"{log_prob:.6f}")


@app.command("export")
def export_command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to be made.")],
    model: ModelOption = None,
    file_format: Annotated[Literal["ctranslate2"], typer.Option("--format", help="Whose.")] = "ctranslate2",
    lines: Annotated[
        Path | None, typer.Option("--check", help="Lines to compare on. [default: 300 of the phrasebook]")
    ] = None,
    references: Annotated[
        Path | None, typer.Option("--check-references", help="Their translations: compare BLEU too.")
    ] = None,
) -> None:
    """Write a model for CTranslate2, once it is seen to translate as ours does, line by line."""
    if references is not None and lines is None:
        raise UsageError("--check-references are translations of the lines of --check; give both")
    from translator.export.folder import export, lines_to_check

    folder = _model_folder(model)
    if lines is not None and references is not None:
        sources, targets = _parallel(lines, references)
    else:
        sources, targets = (lines_to_check(folder) if lines is None else _lines(lines)), None
    print("\n".join(export(folder, output, sources, targets).lines()))
    print(f"exported: {output}")


@app.command("info")
def info_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder.")], as_json: JsonOption = False
) -> None:
    """Show what a model folder says of itself."""
    from translator.bundle import load_bundle
    from translator.model.transformer import n_parameters

    bundle = load_bundle(model)
    facts = {
        **bundle.manifest,
        "parameters": n_parameters(bundle.model),
        "pieces": len(bundle.tokenizer),
        "model": bundle.config.model.model_dump(),
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for key, value in _flat(facts):
        print(f"{key}: {value}")


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _config(arguments: list[str]) -> tuple["Config", Path]:
    """One configuration file and any overrides, in any order."""
    from translator.config_file import load_config

    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) != 1:
        given = ", ".join(paths) or "none"
        raise UsageError(f"give one configuration file, such as configs/phrasebook.yaml; given: {given}")
    path = Path(paths[0])
    return load_config(path, [argument for argument in arguments if "=" in argument]), path


def _model_folder(given: Path | None) -> Path:
    if given is not None:
        return given
    from translator.bundle import newest_model

    folder = newest_model(Path("runs"))
    console.note(f"model: {folder}")
    return folder


def _load(folder: Path | None, device: str, precision: "Precision" = "float32") -> "Translator":
    folder = _model_folder(folder)
    from translator.allocator import keep_freed_memory
    from translator.inference import Translator

    keep_freed_memory()
    translator = Translator.load(folder, device=device, precision=precision)
    if translator.precision != precision:
        console.note(
            f"this CPU does not multiply {precision}; {translator.precision} is quicker and was taken"
        )
    return translator


def _split(config: "Config", overrides: list[str], split: str) -> tuple[list[str], list[str]]:
    from translator.config_file import with_overrides
    from translator.data.corpus import open_split

    config = with_overrides(config, overrides)
    pairs = open_split(config.data, split, seed=config.train.seed)
    return list(pairs["source"]), list(pairs["target"])


def _parallel(source: Path, target: Path) -> tuple[list[str], list[str]]:
    from translator.data.readers import read_parallel

    rows = list(read_parallel(source, target))
    return [row.source for row in rows], [row.target for row in rows]


def _lines(path: Path) -> list[str]:
    from translator.data.readers import read_lines

    return [line.text for line in read_lines(path)]
