"""The verbs before there is a model: `train` and `check-data`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator.cli.options import JsonOption
from translator.errors import UsageError
from translator.signals import ended_in_order

if TYPE_CHECKING:
    from translator.config import Config


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
        from translator.config.file import config_to_yaml

        sys.stdout.write(config_to_yaml(config))
        return
    with ended_in_order():
        from translator.training.run import train

        train(config, name=path.stem, resume=resume)


def check_data_command(
    arguments: Annotated[
        list[str], typer.Argument(metavar="CONFIG [KEY=VALUE …]", help="Configuration file, and overrides.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Read, judge and tokenise a corpus as `train` would, and report what is wrong with it."""
    from dataclasses import asdict

    from translator.data import corpus
    from translator.data.batching import padding_fraction, plan_epoch
    from translator.data.preparation import prepare
    from translator.data.report import Report

    config, _ = _config(arguments)
    with ended_in_order():
        prepared = prepare(config)
    report = prepared.report
    names = corpus.split_names(config.data)
    sizes = {name: len(corpus.open_split(config.data, name, seed=config.train.seed)) for name in names}
    malformed = {name: Report(size) for name, size in sizes.items() if name != "train"}
    for name, found in malformed.items():
        found.count_malformed(corpus.open_malformed(config.data, name))
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
        "malformed": {
            name: {"left_out": found.left_out, "lines": found.lines}
            for name, found in malformed.items()
            if found.left_out
        },
        "pieces": len(prepared.tokenizer),
        "tokens": {side: int(lengths.sum()) for side, lengths in prepared.lengths._asdict().items()},
        "batches_per_epoch": len(plan),
        "padding": padding_fraction(prepared.lengths, plan),
        "fingerprints": prepared.fingerprints,
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    print("split", "pairs", sep="\t")
    for name, size in sizes.items():
        print(name, size, sep="\t")
    print(f"\n{report.n_kept} of {report.n_pairs} training pairs are fit for training")
    for message in report.messages():
        print(f"  {message}")
    for name, found in malformed.items():
        for message in found.messages():
            print(f"  {name}: {message}")
    if prepared.vocabulary_message:
        print(prepared.vocabulary_message)
    print(
        f"{facts['pieces']} pieces; {len(plan)} batches an epoch, {facts['padding']:.1%} padding; "
        f"prepared in {prepared.folder}"
    )


def _config(arguments: list[str]) -> tuple["Config", Path]:
    """One configuration file and any overrides, in any order."""
    from translator.config.file import load_config

    paths = [argument for argument in arguments if "=" not in argument]
    if len(paths) != 1:
        given = ", ".join(paths) or "none"
        raise UsageError(f"give one configuration file, such as configs/phrasebook.yaml; given: {given}")
    path = Path(paths[0])
    return load_config(path, [argument for argument in arguments if "=" in argument]), path
