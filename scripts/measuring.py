"""Tools of the benchmark: rounds, subprocesses, peak speed of this machine, and tables."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from translator.engine.runtime import multiplies_bfloat16

Measured = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "scripts" / "peers"


@dataclass(frozen=True)
class Row:
    """A row of a table: a name, and the measurements of each round."""

    name: str
    rounds: list[Measured]

    def median(self, key: str) -> float:
        return statistics.median(measured[key] for measured in self.rounds)

    def spread(self, key: str) -> str:
        values = [measured[key] for measured in self.rounds]
        return f"{min(values):,.0f} to {max(values):,.0f}"


def run_job(adapter: str, verb: str, job: Measured, folder: Path) -> Measured:
    """Run a job with a peer's adapter, or ours, in a separate process, with `environment` of the job."""
    python = Path(sys.executable) if adapter == "passerelle" else ROOT / ".peers" / adapter / "bin" / "python"
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    command = [str(python), str(PEERS / f"{adapter}_peer.py"), verb, str(path)]
    result: Measured = json.loads(
        output(command, environment=job.get("environment", {}), result_is_enough=True)
    )
    return result


def installed(table: dict[str, tuple[str, Measured]], only: str | None) -> dict[str, tuple[str, Measured]]:
    """Return the entries whose adapters are installed; report the others on stderr."""
    here = {}
    for name, (adapter, settings) in table.items():
        if only is not None and not any(part.strip() in name for part in only.split(",")):
            continue
        if adapter == "passerelle" or (ROOT / ".peers" / adapter / ".installed").is_file():
            here[name] = (adapter, settings)
        else:
            print(f"{name}: not installed; `make benchmark` creates its environment", file=sys.stderr)
    return here


def take_turns(
    jobs: dict[str, Callable[[], Measured]], n_rounds: int, before: Callable[[], object] = lambda: None
) -> list[Row]:
    """Run all jobs in turn, for a number of rounds. Call `before` at the start of each round."""
    rows = [Row(name, []) for name in jobs]
    for number in range(n_rounds):
        before()
        for row in rows:
            row.rounds.append(jobs[row.name]())
            print(f"round {number + 1}: {row.name}: {short(row.rounds[-1])}", file=sys.stderr, flush=True)
    return rows


def training_flops(
    lengths: Sequence[tuple[int, int]], *, width: int, feed_forward: int, layers: tuple[int, int], pieces: int
) -> int:
    """Return the floating-point operations of the matrix products of one training step.

    A multiply-add counts as two operations, and the backward pass as twice the forward pass. Padding does not
    count. The multiply-adds of the forward pass are:

    * for a linear layer from D to E features, applied to n tokens: n · D · E
    * for attention of q queries to k keys, scores and weighted sum, all heads together: 2 · q · k · D

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
    """Return the highest measured rate of square matrix products on all cores, in FLOP/s.

    The products are in bfloat16 if the CPU supports it, else in float32.
    """
    kind = "bfloat16" if multiplies_bfloat16() else "float32"
    code = (
        "import time, torch\n"
        "best = 0.0\n"
        "for n in (512, 1024, 2048, 4096):\n"
        f"    a, b = (torch.randn(n, n, dtype=torch.{kind}) for _ in range(2))\n"
        "    for _ in range(max(4, int(4e10 / n**3))):\n"
        "        start = time.perf_counter(); a @ b\n"
        "        best = max(best, 2 * n**3 / (time.perf_counter() - start))\n"
        "print(best)"
    )
    return float(output([sys.executable, "-c", code]))


def output(
    command: list[str],
    *,
    environment: Mapping[str, str] = MappingProxyType({}),
    result_is_enough: bool = False,
) -> str:
    """Run a command, with these environment variables too, and return the last line of its output.

    With `result_is_enough`, a failure after a JSON result is ignored: gloo sometimes aborts at exit.
    """
    variables = os.environ | {"PYTHONWARNINGS": "ignore"} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode and not (result_is_enough and last.startswith("{")):
        sys.exit(f"{' '.join(command)}: failed:\n{done.stderr[-2000:]}")
    return last


def print_table(heads: str, lines: list[list[str]]) -> None:
    """Print a table in Markdown; `heads` are the column titles, separated by " | "."""
    names = heads.split(" | ")
    for line in (names, ["---"] * len(names), *lines):
        print("| " + " | ".join(line) + " |")


def speeds(rows: list[Row], key: str) -> list[list[str]]:
    """Return the first cells of each row: name, median, range, and the speed-up of the first row over it."""
    first = rows[0].median(key)
    return [
        [row.name, f"{row.median(key):,.0f}", row.spread(key), f"{first / row.median(key):.2f} ×"]
        for row in rows
    ]


def short(measured: Measured) -> str:
    return ", ".join(f"{key} {value:,.2f}" for key, value in measured.items() if isinstance(value, float))


def every(rows: list[Row]) -> Measured:
    return {"rows": {row.name: row.rounds for row in rows}}
