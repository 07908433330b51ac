"""Compare this project with similar ones on this machine: training, decoding, start-up, scale.

python scripts/benchmark.py train   [--case 256] [--rounds 5] [--seconds 20]
python scripts/benchmark.py decode  --model MODEL --sources FILE [--references FILE] [--text] [--alone]
python scripts/benchmark.py startup --model MODEL [--rounds 5]
python scripts/benchmark.py scale   [--pairs 1000000]

`make benchmark` first creates an environment for each peer, with pinned packages (scripts/peers/*.txt). The
programs take turns, A B C A B C, each round in new processes with the same data. The tables show the median,
minimum and maximum over the rounds. In training, Trainer and JoeyNMT are measured twice: with their own
batches, of as many real target tokens per step as ours, and with our batches, which group pairs of similar
length. nn.Transformer has no data loading, so it always uses our batches. Each peer runs with the numbers of
threads and processes that were fastest for it on two cores (`TRAINING`, and `PROGRAMS` in decoding_case.py,
or what --tune finds). --json FILE saves every measurement.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from decoding_case import N_ALONE, TRANSLATOR, DecodingCase, programs
from measuring import (
    Measured,
    every,
    installed,
    output,
    print_table,
    product_rate,
    run_job,
    short,
    speeds,
    take_turns,
    training_flops,
)
from scale import measure_preparation, measure_training_memory
from training_case import CASES, training_config, write_batches

from translator.engine.runtime import multiplies_bfloat16

#: The fastest precision on this CPU. Rows that need bfloat16 are omitted on a CPU without it.
FASTEST = "bfloat16" if multiplies_bfloat16() else "float32"

#: Table rows: name, adapter, and its fastest settings. Each adapter documents the settings that were tried.
ONE_OF_TWO = {"threads": 2, "processes": 1}
TWO_OF_ONE = {"threads": 1, "processes": 2}
OWN = {"batching": "own"}
TRAINER = TWO_OF_ONE | {"precision": FASTEST, "attention": "eager", "optimizer": "adamw_torch_fused"}
TRAINING: dict[str, tuple[str, Measured]] = {
    "passerelle": ("passerelle", ONE_OF_TWO | {"precision": FASTEST}),
    "passerelle float32": ("passerelle", ONE_OF_TWO | {"precision": "float32"}),
    "nn.Transformer in Lightning, float32": ("pytorch", TWO_OF_ONE | {"precision": "float32"}),
    "nn.Transformer in Lightning, bfloat16": ("pytorch", TWO_OF_ONE | {"precision": "bfloat16"}),
    f"Transformers Trainer, {FASTEST}": ("transformers", TRAINER | OWN),
    f"Transformers Trainer, {FASTEST}, our batches": ("transformers", TRAINER),
    "JoeyNMT, float32": ("joeynmt", ONE_OF_TWO | {"precision": "float32"} | OWN),
    "JoeyNMT, float32, our batches": ("joeynmt", ONE_OF_TWO | {"precision": "float32"}),
}
if FASTEST == "float32":
    for omitted in ("passerelle float32", "nn.Transformer in Lightning, bfloat16"):
        del TRAINING[omitted]


def train(arguments: argparse.Namespace) -> Measured:
    """Training speed: target tokens per second, and the model FLOP utilisation."""
    case = CASES[arguments.case]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = training_config(case, arguments.data)
        lengths, step_tokens = write_batches(config, folder, 200)
        job = {
            "batches": str(folder / "batches.jsonl"), "pairs": str(folder / "pairs.json"), "text": name,
            "step_tokens": step_tokens, "config": config, "heads": 4, "dropout": 0.1,
            "vocabulary_size": case["pieces"], "width": case["width"], "feed_forward": case["feed_forward"],
            "encoder_layers": case["layers"], "decoder_layers": case["layers"], "label_smoothing": 0.1,
            "learning_rate": 1e-3, "warmup_steps": 5, "seconds": arguments.seconds,
        }  # fmt: skip
        jobs = {
            entry: lambda adapter=adapter, settings=settings: run_job(
                adapter, "train", job | settings, folder
            )
            for entry, (adapter, settings) in installed(TRAINING, arguments.only).items()
        }
        rates: list[float] = []
        rows = take_turns(jobs, arguments.rounds, lambda: rates.append(product_rate()))
    flops_a_token = training_flops(
        lengths,
        width=case["width"],
        feed_forward=case["feed_forward"],
        layers=(case["layers"], case["layers"]),
        pieces=case["pieces"],
    ) / sum(target for _, target in lengths)
    rate = max(rates)
    print(f"width {case['width']}: products {rate / 1e9:.0f} GFLOP/s ({FASTEST}, square, all cores)")
    key = "target_tokens_per_second"
    print_table(
        "training | target tokens/s | smallest to largest | ours is | of the products' rate | memory MB",
        [
            [
                *cells,
                f"{100 * row.median(key) * flops_a_token / rate:.0f} %",
                f"{row.median('peak_memory_mb'):,.0f}",
            ]
            for row, cells in zip(rows, speeds(rows, key), strict=True)
        ],
    )
    return {"case": case, "product_rate": rate, "flops_a_target_token": flops_a_token, **every(rows)}


def decode(arguments: argparse.Namespace) -> Measured:
    """Decoding speed: sentences per second, CPU time of a sentence, and BLEU."""
    with tempfile.TemporaryDirectory() as name:
        entries = installed(programs(arguments.baseline), arguments.only)
        case = DecodingCase(arguments, Path(name), {adapter for adapter, _ in entries.values()})
        if arguments.tune:
            entries = {
                entry: (adapter, case.tuned(entry, adapter, settings))
                for entry, (adapter, settings) in entries.items()
            }
        rows = take_turns(
            {
                entry: lambda adapter=adapter, settings=settings: case.measure(adapter, settings)
                for entry, (adapter, settings) in entries.items()
            },
            arguments.rounds,
        )
    unit = "text to text" if arguments.text else "ids to ids"
    width = f"untrained, width {arguments.width}, " if arguments.width else ""
    together = "one a call" if arguments.alone else "together"
    print(f"{width}{case.n_sentences:,} sentences, {together}, {unit}, beam {arguments.beam}")
    heads = "decoding | sentences/s | smallest to largest | ours is | CPU ms a sentence | same outputs"
    print_table(
        f"{heads} | BLEU | memory MB",
        [
            [
                *cells,
                f"{row.median('cpu_ms'):.2f}",
                "–" if arguments.width else f"{100 * row.median('same'):.1f} %",
                f"{row.median('bleu'):.2f}" if arguments.references else "–",
                f"{row.median('peak_memory_mb'):,.0f}",
            ]
            for row, cells in zip(rows, speeds(rows, "sentences_per_second"), strict=True)
        ],
    )
    settings = {entry: chosen for entry, (_, chosen) in entries.items()}
    return {"beam": arguments.beam, "settings": settings, **every(rows)}


def startup(arguments: argparse.Namespace) -> Measured:
    """Duration of whole processes, in seconds."""
    jobs = {
        "translator --help": [TRANSLATOR, "--help"],
        'translator translate "Bonjour."': [TRANSLATOR, "translate", "--model", arguments.model, "Bonjour."],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    }

    def timed(parts: list[str]) -> Measured:
        start = time.perf_counter()
        output(parts)
        return {"seconds": time.perf_counter() - start}

    for parts in jobs.values():
        timed(parts)  # the first run reads files from disk
    rows = take_turns(
        {name: lambda parts=parts: timed(parts) for name, parts in jobs.items()}, arguments.rounds
    )
    lines = []
    for row in rows:
        values = [measured["seconds"] for measured in row.rounds]
        lines.append(
            [f"`{row.name}`", f"{row.median('seconds'):.2f}", f"{min(values):.2f} to {max(values):.2f}"]
        )
    print_table("whole process | seconds | smallest to largest", lines)
    return every(rows)


def scale(arguments: argparse.Namespace) -> Measured:
    """Preparation of a large corpus, and training on it compared with training on 10,000 pairs."""
    n_pairs, results = arguments.pairs, {}
    results["preparation"] = [measure_preparation(n_pairs) for _ in range(arguments.rounds)]
    results["training"] = [
        measure_training_memory(n, arguments.steps)
        for _ in range(arguments.rounds)
        for n in (10_000, n_pairs)
    ]
    for name, measured in results.items():
        for one in measured:
            print(f"{name}: {short(one)}, {one['n_pairs']:,} pairs")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measures: dict[str, Callable[[argparse.Namespace], Measured]] = {
        "train": train, "decode": decode, "startup": startup, "scale": scale
    }  # fmt: skip
    for name, measure in measures.items():
        verb = verbs.add_parser(name, help=(measure.__doc__ or "").splitlines()[0])
        verb.add_argument("--rounds", type=int, default=5)
        verb.add_argument("--json", metavar="FILE", help="save every measurement")
        if name in ("train", "decode"):
            verb.add_argument(
                "--only", metavar="NAMES", help="only rows whose name contains one of these, comma-separated"
            )
        if name in ("decode", "startup"):
            verb.add_argument("--model", required=True, help="a trained model folder")
        if name == "train":
            verb.add_argument("--case", choices=list(CASES), default="256")
            verb.add_argument("--seconds", type=float, default=20, help="duration of each round")
            verb.add_argument(
                "--data", default="data/multi30k", help="folder of train.fr, train.en, val.fr, val.en"
            )
        if name == "decode":
            verb.add_argument("--sources", required=True, help="one sentence per line")
            verb.add_argument("--references", metavar="FILE", help="their translations, for BLEU")
            verb.add_argument("--beam", type=int, default=5, help="1 is greedy search")
            verb.add_argument("--text", action="store_true", help="text to text instead of ids to ids")
            verb.add_argument(
                "--alone",
                action="store_true",
                help=f"the first {N_ALONE} sentences, one a call, not all in one",
            )
            verb.add_argument(
                "--width",
                type=int,
                help="an untrained model of this width with MODEL's vocabulary and layers",
            )
            verb.add_argument("--seconds", type=float, default=5, help="shortest duration of a measurement")
            verb.add_argument(
                "--tune", action="store_true", help="first try settings of each program and keep the fastest"
            )
            verb.add_argument(
                "--baseline",
                type=Path,
                metavar="FOLDER",
                help="another checkout of this project to measure too",
            )
        if name == "scale":
            verb.add_argument("--pairs", type=int, default=1_000_000)
            verb.add_argument("--steps", type=int, default=200, help="training steps")
            verb.set_defaults(rounds=1)
    arguments = parser.parse_args()
    results = measures[arguments.verb](arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
