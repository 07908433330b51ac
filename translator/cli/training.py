"""The subcommands `train` and `check-data`."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator import console
from translator.cli.options import PREPARING, JsonOption
from translator.errors import UsageError
from translator.signals import exit_on_signals

if TYPE_CHECKING:
    from translator.config import Config
    from translator.data.preparation import Prepared
    from translator.data.report import Report

ConfigArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG [KEY=VALUE …]",
        help="Configuration: a file, or a name such as phrasebook; and overrides.",
    ),
]


def train_command(
    arguments: ConfigArgument,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the newest unfinished run of this name.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole configuration and exit.")
    ] = False,
) -> None:
    """Train a model from a configuration file, test it, and write it to a folder under runs/."""
    config, path = _config(arguments)
    if print_config:
        from translator.config.file import config_to_yaml

        sys.stdout.write(config_to_yaml(config))
        return
    console.note(PREPARING)
    with exit_on_signals():
        from translator.training.run import train

        model = train(config, name=path.stem, resume=resume)
    if model is not None:
        console.note("\n".join(_what_next(model.parent)))


def _what_next(run: Path) -> list[str]:
    """Return lines that say what to do with a finished run."""
    translator, folder = console.program(), shlex.quote(str(run))
    lines = ["try next:", f"  {translator} translate --model {folder}"]
    if (run / "test.hypotheses.txt").exists():
        lines.append(f"  {translator} evaluate --model {folder} --robustness")
    if any(run.glob("logs/*/events.*")):
        lines.append(f"  {console.program('tensorboard')} --logdir {folder}/logs")
    if (run / "curves.png").exists():
        lines.append(f"curves: {run / 'curves.png'}")
    return lines


def check_data_command(arguments: ConfigArgument, as_json: JsonOption = False) -> None:
    """Read, filter and tokenize a corpus as `train` does, and report what is wrong with it."""
    config, _ = _config(arguments)
    console.note_on_terminal(PREPARING)
    from translator.data import corpus
    from translator.data.batching import padding_fraction
    from translator.data.mixing import mix_messages
    from translator.data.preparation import prepare
    from translator.data.report import report_malformed
    from translator.data.vocabulary_fit import FIT, describe_fit, vocabulary_fit
    from translator.initial_model import initial_folder, load_initial_model

    with exit_on_signals():
        config, initial = load_initial_model(config, initial_folder(config))
        prepared = prepare(config, initial.tokenizer if initial else None)
    sizes: dict[str, int] = {}
    malformed: dict[str, Report] = {}
    for split in corpus.split_names(config.data):
        of_sources = corpus.open_malformed(config.data, split)
        for source, table in corpus.open_splits(config.data, split, seed=config.train.seed).items():
            name = f"{source}.{split}" if source else split
            sizes[name] = len(table)
            if split != "train":
                malformed[name] = report_malformed(len(table), of_sources[source])
    plan = prepared.plan(config.train, 0)
    padding = padding_fraction(prepared.lengths, plan)
    if as_json:
        facts = _facts(prepared, sizes, malformed, n_batches=len(plan), padding=padding)
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    print("split", "pairs", sep="\t")
    for name, size in sizes.items():
        print(name, size, sep="\t")
    report = prepared.report
    print(f"\n{report.n_kept} of {report.n_pairs} training pairs are fit for training")
    for message in report.messages():
        print(f"  {message}")
    for name, report in malformed.items():
        for message in report.messages():
            print(f"  {name}: {message}")
    for message in mix_messages(prepared.lengths, prepared.shares):
        print(message)
    if prepared.vocabulary_message:
        print(prepared.vocabulary_message)
    fits = vocabulary_fit(prepared.tokenizer, prepared.texts)
    print(describe_fit(fits, config.data, initial.manifest.get(FIT) if initial else None))
    print(
        f"{len(prepared.tokenizer)} pieces; {len(plan)} batches an epoch, {padding:.1%} padding; "
        f"prepared in {prepared.folder}"
    )


def _facts(
    prepared: "Prepared",
    sizes: dict[str, int],
    malformed: "dict[str, Report]",
    *,
    n_batches: int,
    padding: float,
) -> dict[str, object]:
    from translator.data.mixing import mix_facts
    from translator.data.vocabulary_fit import FIT, vocabulary_fit

    fits = vocabulary_fit(prepared.tokenizer, prepared.texts)
    return {
        "training_pairs": prepared.report.n_kept,
        "pairs": sizes,
        "report": asdict(prepared.report),
        "malformed": {
            name: {"left_out": report.left_out, "lines": report.lines}
            for name, report in malformed.items()
            if report.left_out
        },
        "pieces": len(prepared.tokenizer),
        FIT: {side: asdict(fit) for side, fit in fits.items()},
        "tokens": {side: int(lengths.sum()) for side, lengths in prepared.lengths._asdict().items()},
        "batches_per_epoch": n_batches,
        **({"sources": mix} if (mix := mix_facts(prepared.lengths, prepared.shares)) else {}),
        "padding": padding,
        "fingerprints": prepared.fingerprints,
    }


def _config(arguments: list[str]) -> tuple["Config", Path]:
    """Load the configuration file that the arguments name, and apply the overrides that they contain.

    Args:
        arguments: one file name and any number of overrides, in any order.

    Returns:
        The configuration and the path of its file.
    """
    from translator.config.file import load_config

    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) != 1:
        given = ", ".join(paths) or "none"
        raise UsageError(f"give one configuration: a file, or a name such as phrasebook; given: {given}")
    path = Path(paths[0])
    return load_config(path, [argument for argument in arguments if "=" in argument]), path
