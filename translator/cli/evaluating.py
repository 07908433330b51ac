"""The subcommand `evaluate`: score translations or word alignments against references."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator import console
from translator.cli.align import (
    LayerOption,
    OneBasedOption,
    ReverseOption,
    TokenizedOption,
    load_aligner,
    read_gold,
)
from translator.cli.evaluation_data import TestSet, read_test_set
from translator.cli.options import (
    PREPARING,
    BackendOption,
    BatchOption,
    BeamOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    PrecisionOption,
    SplitOption,
    lines_of,
    load,
    model_folder,
)
from translator.cli.output import check_output, write_output
from translator.errors import DataError, UsageError

if TYPE_CHECKING:
    from translator.translation.aligner import Aligner
    from translator.translation.evaluator import UnderChange
    from translator.translation.inference import Translator


OverridesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE …]", help="Overrides, such as data.root=FOLDER.")
]
SplitNameOption = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Split of the model's data. [default: test]")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="CONFIG", help="Configuration whose data are used instead of the model's."
    ),
]
SourceOption = Annotated[Path | None, typer.Option("--source", help="Sentences to translate instead.")]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option("--reference", help="Their translations; repeat for a second reference set."),
]
CompareOption = Annotated[
    Path | None, typer.Option("--compare", help="Another system's translations, for a paired test.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="File to write our translations to. [default: none]")
]
RobustnessOption = Annotated[
    bool, typer.Option("--robustness", help="Also print BLEU under each common typing variation.")
]
AlignmentsOption = Annotated[
    Path | None, typer.Option("--alignments", help="File of gold alignments: score our word links instead.")
]

#: The options that have an effect only without --alignments, and those that have one only with it.
_OF_TEXTS = ("compare", "output", "beam", "robustness")
_OF_LINKS = ("reverse_model", "layer", "tokenized", "one_based")


def evaluate_command(
    context: typer.Context,
    overrides: OverridesArgument = None,
    model: ModelOption = None,
    split: SplitNameOption = None,
    data: DataOption = None,
    source: SourceOption = None,
    reference: ReferenceOption = None,
    compare: CompareOption = None,
    output: OutputOption = None,
    robustness: RobustnessOption = False,
    alignments: AlignmentsOption = None,
    reverse_model: ReverseOption = None,
    layer: LayerOption = None,
    tokenized: TokenizedOption = False,
    one_based: OneBasedOption = False,
    beam: BeamOption = None,
    split_sentences: SplitOption = "auto",
    batch_size: BatchOption = 128,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    backend: BackendOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Translate a test set and print BLEU, chrF and TER, each with its signature and 95 % interval.

    The scores are against all sets of references; if there are several, BLEU against the first is added.
    With --alignments, word links to the given translations are scored instead: precision, recall and AER.
    """
    overrides, paths = overrides or [], reference or []
    _check_usage(overrides, source=source, split=split, data=data, references=paths, alignments=alignments)
    _refuse_unused(context.params)
    folder = model_folder(model)
    if output is not None:
        check_output("--output", output, inputs=[path for path in (source, compare, *paths) if path])
    console.note_on_terminal(PREPARING)
    translator = load(folder, device, precision, split_sentences=split_sentences, backend=backend)
    test_set = read_test_set(
        translator.config, overrides, split=split, data=data, source=source, references=paths
    )
    console.note_on_terminal(f"testing {len(test_set.sources):,} lines …")
    facts = {"model": str(folder), "test_set": test_set.name}
    facts |= {} if output is None else {"hypotheses": str(output)}
    hypotheses: Sequence[str] = ()
    if alignments is None:
        results, lines, hypotheses = _score_texts(
            translator, test_set, compare=compare, beam=beam, batch_size=batch_size, robust=robustness
        )
    else:
        aligner = load_aligner(translator, reverse_model, layer=layer, device=device)
        results, lines = _score_links(
            aligner, test_set, alignments, tokenized=tokenized, one_based=one_based, batch_size=batch_size
        )
    print(json.dumps(facts | results, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))
    _write_translations(output, hypotheses)  # last, so that the scores are printed even if writing fails


def _check_usage(
    overrides: Sequence[str],
    *,
    source: Path | None,
    split: str | None,
    data: Path | None,
    references: Sequence[Path],
    alignments: Path | None,
) -> None:
    if (source is None) != (not references):
        raise UsageError("--source and --reference go together; give both or neither")
    for option, value in (("--split", split), ("--data", data)):
        if source is not None and value is not None:
            raise UsageError(f"{option} is for the data of a configuration; leave it out with --source")
    if alignments is not None and len(references) > 1:
        raise UsageError("--alignments needs one translation of each sentence; give --reference once")
    for override in overrides:
        if source is not None:
            raise UsageError(
                f"{override}: an override is for the model's own data; leave it out with --source"
            )
        if not override.startswith(("data.", "train.seed=")):
            raise UsageError(
                f"{override}: only data.* and train.seed have an effect here; the search has --beam"
            )


def _refuse_unused(options: Mapping[str, object]) -> None:
    """Refuse options without effect, given the values of all options by their names in Python."""
    relation, unused = ("without", _OF_LINKS) if options["alignments"] is None else ("with", _OF_TEXTS)
    for name in unused:
        if options[name]:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} has no effect {relation} --alignments; leave it out")


def _score_texts(
    translator: "Translator",
    test_set: TestSet,
    *,
    compare: Path | None,
    beam: int | None,
    batch_size: int,
    robust: bool,
) -> tuple[dict[str, object], list[str], list[str]]:
    """Translate a test set and score the translations.

    Returns:
        The scores as a value for JSON, the same scores as lines of text, and the translations.
    """
    from translator.evaluation.metrics import compare as paired_test
    from translator.translation.evaluator import evaluate, robustness

    name, sources, references, origins = test_set
    theirs = None if compare is None else lines_of(compare)
    if theirs is not None and len(theirs) != len(sources):
        raise DataError(
            f"{compare} has {len(theirs)} lines and {name} has {len(sources)}; give one line for each source"
        )
    evaluation = evaluate(
        translator, sources, *references, beam_size=beam, batch_size=batch_size, origins=origins
    )
    results: dict[str, object] = evaluation.to_dict()
    lines, ours = evaluation.lines(name), evaluation.hypotheses
    if robust:
        changes = robustness(translator, sources, ours, *references, beam_size=beam, batch_size=batch_size)
        results["robustness"] = {change: vars(score) for change, score in changes.items()}
        lines += _robustness_table(evaluation.scores["bleu"].score, changes, n_lines=len(sources))
    if theirs is not None:
        tests = paired_test(ours, theirs, *references)
        results["compare"] = {metric: vars(test) for metric, test in tests.items()}
        for metric, test in tests.items():
            scores = f"{test.score:.2f} and {test.other:.2f}"
            lines.append(f"{metric} against {compare}: {scores}, p = {test.p_value:.4f}")
    return results, lines, ours


def _write_translations(output: Path | None, hypotheses: Sequence[str]) -> None:
    if output is not None:
        write_output("--output", output, "".join(f"{line}\n" for line in hypotheses).encode())
        console.note(f"translations: {output}")


def _robustness_table(bleu: float, changes: "dict[str, UnderChange]", *, n_lines: int) -> list[str]:
    """Return a table, as lines of text, that compares BLEU with and without typing variations.

    The first line shows BLEU for the unchanged sources. Each further line shows BLEU after one typing
    variation, such as missing accents, has been applied to all sources.

    Args:
        bleu: BLEU for the unchanged sources.
        changes: for each typing variation, BLEU and the number of sources that it alters.
        n_lines: number of sources.
    """
    lines = [f"{'BLEU of sources as they are':38}{bleu:6.2f}"]
    for name, under in changes.items():
        n_changed = f"{under.n_changed:,} of {n_lines:,} lines changed"
        lines.append(f"  {name.replace('_', ' '):36}{under.bleu:6.2f} {under.bleu - bleu:+7.2f}  {n_changed}")
    return lines


def _score_links(
    aligner: "Aligner",
    test_set: TestSet,
    alignments: Path,
    *,
    tokenized: bool,
    one_based: bool,
    batch_size: int,
) -> tuple[dict[str, object], list[str]]:
    """Score the aligner's links, and the links of a simple baseline, against gold alignments.

    The baseline links each target word to the source word at the same relative position.

    Returns:
        The scores as a value for JSON, and the same scores as lines of text.
    """
    from translator.translation.evaluator import evaluate_alignments

    sources, targets = test_set.sources, test_set.references[0]
    n_words = aligner.n_words(sources, targets, tokenized=tokenized)
    gold = read_gold(alignments, n_words, one_based=one_based)
    scores = evaluate_alignments(
        aligner, sources, targets, gold=gold, tokenized=tokenized, batch_size=batch_size
    )
    results: dict[str, object] = {"gold": str(alignments), "layers": aligner.layers, "n_lines": len(gold)}
    results |= {method: score.to_dict() for method, score in scores.items()}
    layers = f"layer{'s' if len(aligner.layers) > 1 else ''} {' and '.join(map(str, aligner.layers))}"
    n_sure = scores["diagonal"].n_sure
    lines = [f"{test_set.name}: {len(gold):,} lines, {n_sure:,} sure links, decoder {layers}"]
    lines.append(f"{'%':10}{'precision':>10}{'recall':>8}{'AER':>8}")
    for method, score in scores.items():
        precision, recall, aer = (100 * value for value in (score.precision, score.recall, score.aer))
        lines.append(f"{method.replace('_', ' '):10}{precision:10.2f}{recall:8.2f}{aer:8.2f}")
    return results, lines
