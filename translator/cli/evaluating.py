"""The verb `evaluate`: how good translations are, or the links between their words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator import console
from translator.cli.align import LayerOption, OneBasedOption, ReverseOption, TokenizedOption, load_aligner
from translator.cli.options import (
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
    parallel,
)
from translator.cli.output import check_output, write_output
from translator.errors import DataError, UsageError

if TYPE_CHECKING:
    from translator.alignment.links import Gold
    from translator.config import Config
    from translator.translation.aligner import Aligner
    from translator.translation.evaluator import UnderChange
    from translator.translation.inference import Translator


def evaluate_command(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE …]", help="Overrides, such as data.root=FOLDER.")
    ] = None,
    model: ModelOption = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split of the model's data. [default: test]")
    ] = None,
    source: Annotated[Path | None, typer.Option("--source", help="Sentences to translate instead.")] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", help="Their translations; once more for a second translation of each."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Another system's translations, for a paired test.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write our translations to. [default: none]")
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="BLEU under each change that people make in typing, too.")
    ] = False,
    alignments: Annotated[
        Path | None, typer.Option("--alignments", help="Lines of links by people: score our links instead.")
    ] = None,
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
    """Translate a test set and print BLEU, chrF and TER with signature and 95 % interval.

    With several references, scores are against all of them, and BLEU against the first alone follows.

    With --alignments nothing is translated: precision, recall and alignment error rate of word links between
    the sentences and their given translations.
    """
    if (source is None) != (not reference):
        raise UsageError("--source and --reference go together; give both or neither")
    if source is not None and split is not None:
        raise UsageError("--split is of the model's own data; leave it out beside --source")
    if alignments is not None and len(reference or []) > 1:
        raise UsageError("--alignments is about one translation of each sentence; give --reference once")
    _check_overrides(overrides or [], has_own_data=source is None)
    of_links = {"--reverse-model": reverse_model, "--layer": layer, "--tokenized": tokenized}
    of_links["--one-based"] = one_based
    of_texts = {"--compare": compare, "--output": output, "--beam": beam, "--robustness": robustness}
    for option, value in (of_links if alignments is None else of_texts).items():
        if value:
            company = "without" if alignments is None else "beside"
            raise UsageError(f"{option} means nothing {company} --alignments; leave it out")
    folder = model_folder(model)
    if output is not None:
        read = (source, compare, *(reference or []))
        check_output("--output", output, inputs=[path for path in read if path is not None])
    translator = load(folder, device, precision, split_sentences=split_sentences, backend=backend)
    origins = None
    if source is not None and reference:
        name, (sources, first) = source.name, parallel(source, reference[0])
        references = [first, *(parallel(source, path)[1] for path in reference[1:])]
    else:
        name = "test" if split is None else split
        sources, references, origins = _split(translator.config, overrides or [], name)
    facts: dict[str, object] = {"model": str(folder), "test_set": name}
    hypotheses: Sequence[str] = ()
    if alignments is None:
        if output is not None:
            facts["hypotheses"] = str(output)
        found, lines, hypotheses = _score_texts(
            translator,
            sources,
            references,
            name=name,
            compare=compare,
            beam=beam,
            batch_size=batch_size,
            changed_too=robustness,
            origins=origins,
        )
    else:
        aligner = load_aligner(translator, reverse_model, layer=layer, device=device)
        n_words = aligner.n_words(sources, references[0], tokenized=tokenized)
        gold = _read_gold(alignments, n_words, one_based=one_based)
        facts["gold"] = str(alignments)
        found, lines = _score_links(
            aligner, sources, references[0], gold=gold, name=name, tokenized=tokenized, batch_size=batch_size
        )
    print(json.dumps(facts | found, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))
    if output is not None:  # whatever becomes of the file, the scores are there
        write_output("--output", output, "".join(f"{line}\n" for line in hypotheses).encode())
        console.note(f"translations: {output}")


def _check_overrides(overrides: list[str], *, has_own_data: bool) -> None:
    for override in overrides:
        if not has_own_data:
            raise UsageError(
                f"{override}: an override is of the model's own data; leave it out beside --source"
            )
        if not override.startswith(("data.", "train.seed=")):
            raise UsageError(f"{override}: only data.* and train.seed count here; the search has --beam")


def _score_texts(
    translator: "Translator",
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    name: str,
    compare: Path | None,
    beam: int | None,
    batch_size: int,
    changed_too: bool,
    origins: Sequence[str] | None,
) -> tuple[dict[str, object], list[str], list[str]]:
    """Translate, and return the scores for JSON and for people, and the translations."""
    from translator.evaluation.metrics import compare as paired_test
    from translator.translation.evaluator import evaluate, robustness

    others = None if compare is None else lines_of(compare)
    if others is not None and len(others) != len(sources):
        raise DataError(f"{compare} has {len(others)} lines and {name} has {len(sources)}; give as many")
    evaluation = evaluate(
        translator, sources, *references, beam_size=beam, batch_size=batch_size, origins=origins
    )
    found: dict[str, object] = evaluation.to_dict()
    lines = evaluation.lines(name)
    if changed_too:
        ours = evaluation.hypotheses
        changed = robustness(translator, sources, ours, *references, beam_size=beam, batch_size=batch_size)
        found["robustness"] = {way: vars(under) for way, under in changed.items()}
        lines += _changes(evaluation.scores["bleu"].score, changed, n_lines=len(sources))
    if others is not None:
        tests = paired_test(evaluation.hypotheses, others, *references)
        found["compare"] = {metric: vars(test) for metric, test in tests.items()}
        for metric, test in tests.items():
            scores = f"{test.score:.2f} and {test.other:.2f}"
            lines.append(f"{metric} against {compare}: {scores}, p = {test.p_value:.4f}")
    return found, lines, evaluation.hypotheses


def _changes(plain: float, changed: "dict[str, UnderChange]", *, n_lines: int) -> list[str]:
    """A table: BLEU of sources as they are, and under each change."""
    lines = [f"{'BLEU of sources as they are':38}{plain:6.2f}"]
    for name, under in changed.items():
        of_lines = f"{under.n_changed:,} of {n_lines:,} lines changed"
        lines.append(f"  {name.replace('_', ' '):36}{under.bleu:6.2f} {under.bleu - plain:+7.2f}  {of_lines}")
    return lines


def _score_links(
    aligner: "Aligner",
    sources: Sequence[str],
    references: Sequence[str],
    *,
    gold: "Sequence[Gold]",
    name: str,
    tokenized: bool,
    batch_size: int,
) -> tuple[dict[str, object], list[str]]:
    """Return the scores of our links, and of the diagonal's, for JSON and for people."""
    from translator.translation.aligner import evaluate_alignments

    scores = evaluate_alignments(
        aligner, sources, references, gold=gold, tokenized=tokenized, batch_size=batch_size
    )
    found: dict[str, object] = {"layers": aligner.layers, "n_lines": len(gold)}
    found |= {way: score.to_dict() for way, score in scores.items()}
    layers = f"layer{'s' if len(aligner.layers) > 1 else ''} {' and '.join(map(str, aligner.layers))}"
    n_sure = scores["diagonal"].n_sure
    lines = [f"{name}: {len(gold):,} lines, {n_sure:,} sure links, decoder {layers}"]
    lines.append(f"{'%':10}{'precision':>10}{'recall':>8}{'AER':>8}")
    for way, score in scores.items():
        precision, recall, aer = (100 * share for share in (score.precision, score.recall, score.aer))
        lines.append(f"{way.replace('_', ' '):10}{precision:10.2f}{recall:8.2f}{aer:8.2f}")
    return found, lines


def _read_gold(path: Path, n_words: Sequence[tuple[int, int]], *, one_based: bool) -> "list[Gold]":
    from translator.alignment.links import parse_links

    lines = lines_of(path)
    if len(lines) != len(n_words):
        raise DataError(f"{path} has {len(lines)} lines and the text {len(n_words)}; give a line a pair")
    return [
        parse_links(line, where=f"{path}:{number}", one_based=one_based, n_words=of_pair)
        for number, (line, of_pair) in enumerate(zip(lines, n_words, strict=True), start=1)
    ]


def _split(
    config: "Config", overrides: list[str], split: str
) -> tuple[list[str], list[list[str]], list[str] | None]:
    """Read a split: sources, one set of references or two, and where each line comes from, if known."""
    from translator.config.file import with_overrides
    from translator.data.corpus import origins, second_references
    from translator.data.preparation import open_scored

    config = with_overrides(config, overrides)
    pairs = open_scored(config, split)
    second = second_references(config.data, split)
    references = [list(pairs["target"]), *([second] if second is not None else [])]
    return list(pairs["source"]), references, origins(config.data, split)
