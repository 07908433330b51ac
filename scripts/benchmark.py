"""Compare this project with similar ones on this machine: training, decoding, start-up, scale.

python scripts/benchmark.py train   [--case 256] [--rounds 5] [--seconds 20]
python scripts/benchmark.py decode  --model MODEL --sources FILE --references FILE [--rounds 5]
python scripts/benchmark.py startup --model MODEL [--rounds 5]
python scripts/benchmark.py scale   [--pairs 1000000]

`make benchmark` first creates an environment for each peer, with pinned packages (scripts/peers/*.txt). The
programs take turns, A B C A B C, each round in new processes with the same data. The tables show the median,
minimum and maximum over the rounds. In training, Trainer and JoeyNMT are measured twice: with their own
batches, of as many real target tokens per step as ours, and with our batches, which group pairs of similar
length. nn.Transformer has no data loading, so it always uses our batches. Each peer runs with the numbers of
threads and processes that were fastest for it on two cores (`TRAINING`, `DECODING`). --json FILE saves every
measurement.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measuring import (
    PEERS,
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

TRANSLATOR = str(Path(sys.executable).with_name("translator"))

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
OURS = {"threads": 2, "batch_size": 128}  # the defaults of `translator translate`
DECODING: dict[str, tuple[str, Measured]] = {
    "passerelle float32": ("passerelle", OURS | {"precision": "float32"}),
    "passerelle bfloat16": ("passerelle", OURS | {"precision": "bfloat16"}),
    "passerelle int8": ("passerelle", OURS | {"precision": "int8"}),
    "CTranslate2 float32": ("ctranslate2", {"threads": 1, "inter_threads": 2, "precision": "float32"}),
    "CTranslate2 int8": ("ctranslate2", {"threads": 1, "inter_threads": 2, "precision": "int8"}),
    "Transformers generate": ("transformers", {"threads": 2, "precision": "float32"}),
    "JoeyNMT": ("joeynmt", {"threads": 2, "precision": "float32", "batch_size": 32}),
}
if FASTEST == "float32":
    for table, omitted in (
        (TRAINING, ("passerelle float32", "nn.Transformer in Lightning, bfloat16")),
        (DECODING, ("passerelle bfloat16",)),
    ):
        for name in omitted:
            del table[name]


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
    """Decoding speed with a trained model: sentences per second, latency of a single one, and BLEU."""
    from translator import Translator
    from translator.evaluation.metrics import bleu

    translator = Translator.load(arguments.model)
    sources = Path(arguments.sources).read_text(encoding="utf-8").splitlines()
    references = Path(arguments.references).read_text(encoding="utf-8").splitlines()
    tokenizer, search = translator.tokenizer, translator.config.search
    ids = tokenizer.encode_batch(sources)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = _peer_models(arguments.model, folder)
        (folder / "ids.json").write_text(json.dumps([[*row, 3] for row in ids]), encoding="utf-8")
        pieces = [tokenizer.pieces(row) for row in ids]
        (folder / "pieces.json").write_text(json.dumps(pieces), encoding="utf-8")
        known = {piece: number for number, piece in enumerate(tokenizer.pieces(range(len(tokenizer))))}

        def job_of(adapter: str, settings: Measured) -> Measured:
            job = {
                "model": str(models.get(adapter, arguments.model)), "beam_size": arguments.beam,
                "single": True,
                "sources": str(folder / ("pieces.json" if adapter == "ctranslate2" else "ids.json")),
                "length_penalty": search.length_penalty, "max_length_ratio": search.max_length_ratio,
                "max_length_offset": search.max_length_offset, "batch_size": 64,
                "output": str(folder / "output.json"),
            }  # fmt: skip
            measured = run_job(adapter, "decode", job | settings, folder)
            rows = json.loads((folder / "output.json").read_text(encoding="utf-8"))
            if adapter == "ctranslate2":
                rows = [[known[piece] for piece in row] for row in rows]
            return measured | {"bleu": bleu([tokenizer.decode(row) for row in rows], references)}

        entries = installed(DECODING, arguments.only)
        rows = take_turns(
            {
                entry: lambda adapter=adapter, settings=settings: job_of(adapter, settings)
                for entry, (adapter, settings) in entries.items()
            },
            arguments.rounds,
        )
    print(f"{len(ids):,} sentences, beam {arguments.beam}")
    print_table(
        "decoding | sentences/s | smallest to largest | ours is | one alone, ms | BLEU | memory MB",
        [
            [
                *cells,
                f"{row.median('latency_ms'):.1f}",
                f"{row.median('bleu'):.2f}",
                f"{row.median('peak_memory_mb'):,.0f}",
            ]
            for row, cells in zip(rows, speeds(rows, "sentences_per_second"), strict=True)
        ],
    )
    return {"beam": arguments.beam, **every(rows)}


def _peer_models(model: str, folder: Path) -> dict[str, Path]:
    """Convert our model for each peer."""
    output([sys.executable, str(PEERS / "convert.py"), model, str(folder)])
    output([TRANSLATOR, "export", str(folder / "ctranslate2"), "--model", model])
    return {
        "transformers": folder / "pegasus",
        "joeynmt": folder / "joeynmt",
        "ctranslate2": folder / "ctranslate2",
    }


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
            verb.add_argument("--references", required=True, help="their translations")
            verb.add_argument("--beam", type=int, default=5)
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
