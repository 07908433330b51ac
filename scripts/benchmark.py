"""Measure this project beside its peers on this machine: training, decoding, start-up, scale.

python scripts/benchmark.py train   [--case 256] [--rounds 5] [--seconds 20]
python scripts/benchmark.py decode  --model MODEL --sources FILE --references FILE [--rounds 5]
python scripts/benchmark.py startup --model MODEL [--rounds 5]
python scripts/benchmark.py scale   [--pairs 1000000]

`make benchmark` first makes the peers' environments, each with its own pinned packages (scripts/peers/*.txt).
All take turns, A B C A B C, each round in fresh processes with the same data and the same batches; what is
printed are medians over the rounds, with the smallest and the largest. Each peer runs in the settings of threads
and processes that were best for it on two cores (`TRAINING`, `DECODING`). --json FILE keeps every measurement.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "scripts" / "peers"

Measured = dict[str, Any]

#: Sizes measured in training: width, feed-forward, layers of each stack, pieces, padded tokens a batch.
CASES = {
    "256": {"width": 256, "feed_forward": 1024, "layers": 3, "pieces": 8000, "max_tokens_per_batch": 2900},
    "128": {"width": 128, "feed_forward": 512, "layers": 4, "pieces": 6000, "max_tokens_per_batch": 2900},
}

#: What runs, by name: the adapter, and its best settings.
TRAINING: dict[str, tuple[str, Measured]] = {
    "passerelle": ("passerelle", {"threads": 2, "processes": 1, "precision": "bfloat16"}),
    "nn.Transformer, Lightning": ("pytorch", {"threads": 2, "processes": 1, "precision": "float32"}),
    "Transformers Trainer": ("transformers", {"threads": 2, "processes": 1, "precision": "float32"}),
    "JoeyNMT": ("joeynmt", {"threads": 2, "processes": 1, "precision": "float32"}),
}
DECODING: dict[str, tuple[str, Measured]] = {
    "passerelle float32": ("passerelle", {"threads": 2, "precision": "float32"}),
    "passerelle bfloat16": ("passerelle", {"threads": 2, "precision": "bfloat16"}),
    "passerelle int8": ("passerelle", {"threads": 2, "precision": "int8"}),
    "CTranslate2 float32": ("ctranslate2", {"threads": 1, "inter_threads": 2, "precision": "float32"}),
    "CTranslate2 int8": ("ctranslate2", {"threads": 1, "inter_threads": 2, "precision": "int8"}),
    "Transformers generate": ("transformers", {"threads": 2, "precision": "float32"}),
    "JoeyNMT": ("joeynmt", {"threads": 2, "precision": "float32"}),
}


@dataclass(frozen=True)
class Row:
    """One line of a table: what ran, and each round's measurement."""

    name: str
    rounds: list[Measured]

    def median(self, key: str) -> float:
        return statistics.median(measured[key] for measured in self.rounds)

    def spread(self, key: str) -> str:
        values = [measured[key] for measured in self.rounds]
        return f"{min(values):,.0f} to {max(values):,.0f}"


def training_flops(
    lengths: Sequence[tuple[int, int]], *, width: int, feed_forward: int, layers: tuple[int, int], pieces: int
) -> int:
    """Return the floating-point operations of the matrix products of one training step.

    Two for each multiply-add; the backward pass has two products for each of the forward pass. Counted for
    each sentence by itself, so padding counts as nothing:

    * a linear map of n tokens, in × out: n · in · out
    * attention of q queries over k keys, all heads together: scores and mixing, 2 · q · k · D

    Args:
        lengths: source and target length of each pair, end symbols included.
        width: D.
        feed_forward: F.
        layers: of encoder and decoder.
        pieces: V.
    """
    n_encoder, n_decoder = layers
    square, inner = width * width, 2 * width * feed_forward
    total = 0
    for source, target in lengths:
        encoder_layer = source * (4 * square + inner) + 2 * source * source * width
        decoder_layer = target * (6 * square + inner) + source * 2 * square
        decoder_layer += 2 * target * (target + source) * width
        total += n_encoder * encoder_layer + n_decoder * decoder_layer + target * width * pieces
    return 3 * 2 * total


def product_rate() -> float:
    """Return this machine's best rate of square bfloat16 products on all cores, in FLOP/s."""
    code = (
        "import time, torch\n"
        "best = 0.0\n"
        "for n in (512, 1024, 2048, 4096):\n"
        "    a, b = (torch.randn(n, n).bfloat16() for _ in range(2))\n"
        "    for _ in range(max(4, int(4e10 / n**3))):\n"
        "        start = time.perf_counter(); a @ b\n"
        "        best = max(best, 2 * n**3 / (time.perf_counter() - start))\n"
        "print(best)"
    )
    return float(_output([sys.executable, "-c", code]))


def run_job(adapter: str, verb: str, job: Measured, folder: Path) -> Measured:
    """Run one job of a peer, or of ours, in a process of its own."""
    python = Path(sys.executable) if adapter == "passerelle" else ROOT / ".peers" / adapter / "bin" / "python"
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    result: Measured = json.loads(_output([str(python), str(PEERS / f"{adapter}_peer.py"), verb, str(path)]))
    return result


def take_turns(
    jobs: dict[str, Callable[[], Measured]], n_rounds: int, also: Callable[[], Measured] | None = None
) -> list[Row]:
    """Run all jobs, one after the other, as often as there are rounds."""
    rows = [Row(name, []) for name in jobs]
    for number in range(n_rounds):
        for row in rows:
            row.rounds.append(jobs[row.name]() | (also() if also is not None else {}))
            print(f"round {number + 1}: {row.name}: {_short(row.rounds[-1])}", file=sys.stderr, flush=True)
    return rows


def installed(table: dict[str, tuple[str, Measured]], only: str | None) -> dict[str, tuple[str, Measured]]:
    """Return the entries that are here, said by name where one is not."""
    here = {}
    for name, (adapter, settings) in table.items():
        if only is not None and not any(part.strip() in name for part in only.split(",")):
            continue
        if adapter == "passerelle" or (ROOT / ".peers" / adapter / ".installed").is_file():
            here[name] = (adapter, settings)
        else:
            print(f"{name}: not installed; `make benchmark` makes its environment", file=sys.stderr)
    return here


def train(arguments: argparse.Namespace) -> Measured:
    """Training speed: target tokens a second, and the share of the products' rate that is real work."""
    case = CASES[arguments.case]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _training_config(case, arguments.data)
        lengths = _write_batches(config, folder / "batches.jsonl", 200)
        job = {
            "batches": str(folder / "batches.jsonl"), "config": config, "heads": 4, "dropout": 0.1,
            "vocabulary_size": case["pieces"], "width": case["width"], "feed_forward": case["feed_forward"],
            "encoder_layers": case["layers"], "decoder_layers": case["layers"], "label_smoothing": 0.1,
            "learning_rate": 1e-3, "warmup_steps": 8, "seconds": arguments.seconds,
        }  # fmt: skip
        jobs = {
            entry: lambda adapter=adapter, settings=settings: run_job(adapter, "train", job | settings, folder)
            for entry, (adapter, settings) in installed(TRAINING, arguments.only).items()
        }
        rates: list[float] = []
        rows = take_turns(jobs, arguments.rounds, lambda: rates.append(product_rate()) or {})
    flops_a_token = training_flops(
        lengths,
        width=case["width"],
        feed_forward=case["feed_forward"],
        layers=(case["layers"], case["layers"]),
        pieces=case["pieces"],
    ) / sum(target for _, target in lengths)
    rate = max(rates)
    print(f"width {case['width']}: products {rate / 1e9:.0f} GFLOP/s (bfloat16, square, all cores)")
    print("| training | target tokens/s | smallest to largest | ours is | of the products' rate | memory MB |")
    print("|---|---|---|---|---|---|")
    ours = rows[0].median("target_tokens_per_second")
    for row in rows:
        speed = row.median("target_tokens_per_second")
        print(
            f"| {row.name} | {speed:,.0f} | {row.spread('target_tokens_per_second')} | {ours / speed:.2f} × | "
            f"{100 * speed * flops_a_token / rate:.0f} % | {row.median('peak_memory_mb'):,.0f} |"
        )
    return {"case": case, "product_rate": rate, "flops_a_target_token": flops_a_token, **_all(rows)}


def decode(arguments: argparse.Namespace) -> Measured:
    """Decoding speed with one trained model: sentences a second, one alone, and BLEU."""
    from translator import Translator
    from translator.evaluation import bleu

    translator = Translator.load(arguments.model)
    sources = Path(arguments.sources).read_text(encoding="utf-8").splitlines()
    references = Path(arguments.references).read_text(encoding="utf-8").splitlines()
    tokenizer, search = translator.tokenizer, translator.config.search
    ids = tokenizer.encode_batch(sources)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _output([sys.executable, str(PEERS / "convert.py"), arguments.model, str(folder)])
        _output(
            ["translator", "export", str(folder / "ctranslate2"), "--model", arguments.model], in_environment=True
        )
        (folder / "ids.json").write_text(json.dumps([[*row, 3] for row in ids]), encoding="utf-8")
        (folder / "pieces.json").write_text(json.dumps([tokenizer.pieces(row) for row in ids]), encoding="utf-8")
        models = {"transformers": folder / "pegasus", "joeynmt": folder / "joeynmt", "ctranslate2": folder / "ctranslate2"}

        def job_of(adapter: str, settings: Measured) -> Measured:
            job = {
                "model": str(models.get(adapter, arguments.model)), "beam_size": arguments.beam, "single": True,
                "sources": str(folder / ("pieces.json" if adapter == "ctranslate2" else "ids.json")),
                "length_penalty": search.length_penalty, "max_length_ratio": search.max_length_ratio,
                "max_length_offset": search.max_length_offset, "batch_size": 64,
                "output": str(folder / "output.json"),
            }  # fmt: skip
            found = run_job(adapter, "decode", job | settings, folder)
            rows = json.loads((folder / "output.json").read_text(encoding="utf-8"))
            if adapter == "ctranslate2":
                known = {piece: number for number, piece in enumerate(tokenizer.pieces(range(len(tokenizer))))}
                rows = [[known[piece] for piece in row] for row in rows]
            return found | {"bleu": bleu([tokenizer.decode(row) for row in rows], references)}

        entries = installed(DECODING, arguments.only)
        rows = take_turns(
            {
                entry: lambda adapter=adapter, settings=settings: job_of(adapter, settings)
                for entry, (adapter, settings) in entries.items()
            },
            arguments.rounds,
        )
    print(f"{len(ids):,} sentences, beam {arguments.beam}")
    print("| decoding | sentences/s | smallest to largest | ours is | one alone, ms | BLEU | memory MB |")
    print("|---|---|---|---|---|---|---|")
    ours = rows[0].median("sentences_per_second")
    for row in rows:
        speed = row.median("sentences_per_second")
        print(
            f"| {row.name} | {speed:,.0f} | {row.spread('sentences_per_second')} | {ours / speed:.2f} × | "
            f"{row.median('latency_ms'):.1f} | {row.median('bleu'):.2f} | {row.median('peak_memory_mb'):,.0f} |"
        )
    return {"beam": arguments.beam, **_all(rows)}


def startup(arguments: argparse.Namespace) -> Measured:
    """Seconds of whole processes, from nothing."""
    command = str(Path(sys.executable).with_name("translator"))
    jobs = {
        "translator --help": [command, "--help"],
        'translator translate "Bonjour."': [command, "translate", "--model", arguments.model, "Bonjour."],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    }

    def timed(parts: list[str]) -> Measured:
        start = time.perf_counter()
        _output(parts)
        return {"seconds": time.perf_counter() - start}

    for parts in jobs.values():
        timed(parts)  # files come from the disk the first time
    rows = take_turns({name: lambda parts=parts: timed(parts) for name, parts in jobs.items()}, arguments.rounds)
    print("| whole process | seconds | smallest to largest |")
    print("|---|---|---|")
    for row in rows:
        values = [measured["seconds"] for measured in row.rounds]
        print(f"| `{row.name}` | {row.median('seconds'):.2f} | {min(values):.2f} to {max(values):.2f} |")
    return _all(rows)


def _training_config(case: Measured, root: str) -> Measured:
    return {
        "data": {"format": "text", "root": root, "files": {"train": "train.{lang}", "val": "val.{lang}"}},
        "tokenizer": {"vocabulary_size": case["pieces"]},
        "model": {
            "width": case["width"], "n_heads": 4, "feed_forward": case["feed_forward"], "dropout": 0.1,
            "n_encoder_layers": case["layers"], "n_decoder_layers": case["layers"],
        },
        "train": {"max_steps": 10**6, "max_tokens_per_batch": case["max_tokens_per_batch"], "learning_rate": 1e-3},
        "validation": {"every_steps": 10**6, "n_samples": 0},
    }  # fmt: skip


def _write_batches(config: Measured, path: Path, n_batches: int) -> list[tuple[int, int]]:
    """Write the first batches of a training run; return the lengths of their pairs."""
    from translator.config import validate
    from translator.data.batching import BatchStream
    from translator.data.preparation import prepare
    from translator.symbols import PAD

    checked = validate(config)
    prepared = prepare(checked)
    stream = BatchStream(
        prepared.train,
        prepared.lengths,
        max_tokens=checked.train.max_tokens_per_batch,
        seed=checked.train.seed,
    )
    lengths = []
    with path.open("w", encoding="utf-8") as file:
        for batch, _ in zip(stream, range(n_batches), strict=False):
            sides = [
                [row[row != PAD].tolist() for row in side] for side in (batch.source_ids, batch.target_out)
            ]
            file.write(json.dumps({"source": sides[0], "target": sides[1]}) + "\n")
            lengths += [(len(source), len(target)) for source, target in zip(*sides, strict=True)]
    return lengths


def _output(command: list[str], *, in_environment: bool = False) -> str:
    """Run a command and return the last line of its output."""
    if in_environment:
        command = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def _short(measured: Measured) -> str:
    return ", ".join(f"{key} {value:,.2f}" for key, value in measured.items() if isinstance(value, float))


def _all(rows: list[Row]) -> Measured:
    return {"rows": {row.name: row.rounds for row in rows}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measures: dict[str, Callable[[argparse.Namespace], Measured]] = {
        "train": train, "decode": decode, "startup": startup, "scale": scale
    }  # fmt: skip
    for name, measure in measures.items():
        verb = verbs.add_parser(name, help=(measure.__doc__ or "").splitlines()[0])
        verb.add_argument("--rounds", type=int, default=5)
        verb.add_argument("--json", metavar="FILE", help="keep every measurement")
        if name in ("train", "decode"):
            verb.add_argument("--only", metavar="NAMES", help="rows whose name has one of these, by comma")
        if name in ("decode", "startup"):
            verb.add_argument("--model", required=True, help="a trained model folder")
        if name == "train":
            verb.add_argument("--case", choices=list(CASES), default="256")
            verb.add_argument("--seconds", type=float, default=20, help="measured in each round")
            verb.add_argument("--data", default="data/multi30k", help="folder of train.fr, train.en, val.fr, val.en")
        if name == "decode":
            verb.add_argument("--sources", required=True, help="one sentence a line")
            verb.add_argument("--references", required=True, help="their translations")
            verb.add_argument("--beam", type=int, default=5)
        if name == "scale":
            verb.add_argument("--pairs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    found = measures[arguments.verb](arguments)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
