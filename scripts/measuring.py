"""What the benchmark measures with: turns, whole processes, and how fast this machine could be."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Measured = dict[str, Any]


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


def take_turns(
    jobs: dict[str, Callable[[], Measured]], n_rounds: int, also: Callable[[], Measured] | None = None
) -> list[Row]:
    """Run all jobs, one after the other, as often as there are rounds."""
    rows = [Row(name, []) for name in jobs]
    for number in range(n_rounds):
        for row in rows:
            row.rounds.append(jobs[row.name]() | (also() if also is not None else {}))
            print(f"round {number + 1}: {row.name}: {short(row.rounds[-1])}", file=sys.stderr, flush=True)
    return rows


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
    return float(output([sys.executable, "-c", code]))


def output(command: list[str]) -> str:
    """Run a command and return the last line of its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def short(measured: Measured) -> str:
    return ", ".join(f"{key} {value:,.2f}" for key, value in measured.items() if isinstance(value, float))


def every(rows: list[Row]) -> Measured:
    return {"rows": {row.name: row.rounds for row in rows}}
