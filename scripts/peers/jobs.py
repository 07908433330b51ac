"""What the adapters share: reading a job, the stopwatch, the order of decoding. Needs torch only to train.

    .peers/NAME/bin/python scripts/peers/NAME_peer.py train|decode|score JOB.json

runs one job in a peer's own environment; the last line of stdout is the result, one JSON object.

**train**: `batches` is a JSONL file, a batch a line: {"source": rows, "target": rows}, rows of ids that end
in the end symbol, without a start symbol. Every peer trains on these batches, in this order, again from the
top when they run out. With `processes` above 1 each takes every n-th row of every batch, so that an optimiser
step sees the same batch however many they are. With `batching`: "own" a peer makes batches in its own way
instead, about `step_tokens` real target tokens a step, from all pairs: `pairs` is a JSON file, {"source":
rows, "target": rows}; `text` a folder of train.src, train.trg, dev.src, dev.trg, tokenizer.model and
pieces.txt. Further keys: `vocabulary_size` `width` `heads` `feed_forward`
`encoder_layers` `decoder_layers` `dropout` `label_smoothing` `learning_rate` (constant) `threads` (of each
process) `processes` `precision` (float32, bfloat16) `warmup_steps` (run but not measured, at least 1) and
`steps` or `seconds` (measured). Result: `target_tokens_per_second` (real target tokens, end symbols
included) `seconds` `steps` `loss_first` `loss_last` (of a target token, smoothed; of the first process)
`peak_memory_mb` `cpu_seconds` (these two of all processes).

**decode**: `model` is a folder that `convert.py` wrote (for CTranslate2, `translator export`); `sources` a
JSON file of rows: ids ending in the end symbol, for CTranslate2 pieces without one; with `text`, of lines of
text, which are tokenized with `tokenizer`, a SentencePiece model, and whose translations are text.
`beam_size` `length_penalty` `max_length_ratio` `max_length_offset` (a batch's outputs stop at ratio ·
longest source + offset, end symbols not counted in the source) `batch_size` `threads` `precision`; `alone`:
one sentence a call instead of all in one; `seconds`: all sources are translated again until so many have
passed. `output` is where the outputs are written, rows like the sources but without end symbols, or lines.
Result:
`sentences_per_second` `seconds` `cpu_seconds` `cpu_ms` (of a sentence, all threads together)
`peak_memory_mb`. Loading the model is not measured; everything from sources in to outputs out is, putting
like lengths together included.

**score**: `model`, `pairs` (a batch as above, in a JSON file), `threads`, `precision`, `output`. Writes
Σ log p of each pair's target, end symbol included, by teacher forcing.

Special ids are ours: padding 0, unknown 1, start 2, end 3. Any job may have `tune_malloc`: true sets
glibc's allocator as `translator.engine.runtime` does for us, which no peer does by itself. `cpu_seconds` far
below threads · processes · `seconds` tells of a busy machine.
"""

import ctypes
import json
import math
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAD, UNK, BOS, EOS = 0, 1, 2, 3

Rows = list[list[int]]
Job = dict[str, Any]


def run(**verbs: Callable[[Job], Job | None]) -> None:
    """Do what the command line says; only the process that has a result prints one."""
    if len(sys.argv) != 3 or sys.argv[1] not in verbs:
        sys.exit(f"usage: {Path(sys.argv[0]).name} {'|'.join(verbs)} JOB.json")
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    if job.get("tune_malloc"):
        tune_malloc()
    result = verbs[sys.argv[1]](job)
    if result is not None:
        print(json.dumps(result), flush=True)


def tune_malloc() -> None:
    libc = ctypes.CDLL(None)
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**26)):  # mmap max, trim threshold, top pad
        libc.mallopt(option, value)


def use_threads(job: Job) -> None:
    """Give this process, and those it starts, the job's threads."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(job["threads"])  # else Lightning and torchrun set their own
    torch.set_num_threads(job["threads"])
    torch.manual_seed(1)


def peak_memory_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # where `ru_maxrss` includes the parent's memory before the exec
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii", errors="replace"))
        return int(peak.group(1)) / 1024 if peak else math.nan
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)


def pad(rows: Rows) -> Any:
    """Rows of ids as a tensor (B, L)."""
    import torch

    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def read_batches(job: Job) -> list[dict[str, Rows]]:
    with open(job["batches"], encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_pairs(job: Job) -> dict[str, Rows]:
    pairs: dict[str, Rows] = json.loads(Path(job["pairs"]).read_text(encoding="utf-8"))
    return pairs


def shares(batches: list[dict[str, Rows]], rank: int, n_ranks: int) -> list[dict[str, Rows]]:
    """The rows of each batch that one process trains on; a batch with fewer rows than processes is shared."""
    return [{side: rows[rank::n_ranks] or rows for side, rows in batch.items()} for batch in batches]


class Stopwatch:
    """Told of every optimiser step; measures those after the warm-up and says when it is enough."""

    def __init__(self, job: Job, batches: list[dict[str, Rows]]):
        self._tokens = [sum(map(len, batch["target"])) for batch in batches]
        self._warmup = max(1, job["warmup_steps"])
        self._most_steps, self._most_seconds = job.get("steps"), job.get("seconds")
        self._processes = job["processes"]
        self._steps, self._measured_tokens, self._own = 0, 0, False
        self._start = self._end = self._cpu_start = self._cpu_end = 0.0
        self.losses: list[float] = []
        self.done = False

    def step_done(self, own_tokens: int | None = None) -> bool:
        """Count a step; True when no more are wanted, in all processes at the same step.

        `own_tokens`: real target tokens that this process trained on, where it did not take our batches.
        """
        if self.done:
            return True
        self._end, self._cpu_end = time.perf_counter(), time.process_time()
        if self._steps >= self._warmup:
            ours = self._tokens[self._steps % len(self._tokens)]
            self._measured_tokens += ours if own_tokens is None else own_tokens
            self._own = own_tokens is not None
        self._steps += 1
        if self._steps <= self._warmup:
            self._start, self._cpu_start = self._end, self._cpu_end
        if self._most_steps is not None:
            self.done = self._steps - self._warmup >= self._most_steps
        else:
            self.done = self._agree(self._end - self._start >= self._most_seconds)
        return self.done

    def _agree(self, enough: bool) -> bool:
        return self._over_processes(float(enough)) > 0

    def _over_processes(self, value: float) -> float:
        return value if self._processes == 1 else _sum_over_processes(value)

    def result(self) -> Job:
        """The result of a training job; each process must ask for it."""
        if not self.done:
            sys.exit(f"training stopped by itself after {self._steps} steps")
        seconds, tokens = self._end - self._start, self._measured_tokens
        if self._own:
            tokens = self._over_processes(tokens)
        return {
            "target_tokens_per_second": tokens / seconds,
            "seconds": seconds,
            "steps": self._steps - self._warmup,
            "loss_first": float(self.losses[0]),
            "loss_last": float(self.losses[-1]),
            "peak_memory_mb": self._over_processes(peak_memory_mb()),
            "cpu_seconds": self._over_processes(self._cpu_end - self._cpu_start),
        }


def _sum_over_processes(value: float) -> float:
    import torch
    import torch.distributed as dist

    total = torch.tensor(value)
    dist.all_reduce(total)
    return float(total)


def output_limit(batch: list[list[Any]], job: Job, *, end_symbols: int = 1) -> int:
    """The most tokens an output of this batch may have, its end symbol included."""
    longest = max(map(len, batch)) - end_symbols
    return int(longest * job["max_length_ratio"]) + job["max_length_offset"]


def measure_decoding(job: Job, translate: Callable[[list[Any]], list[Any]]) -> Job:
    """Time `translate`, which turns sources into outputs, in order."""
    sources = json.loads(Path(job["sources"]).read_text(encoding="utf-8"))
    calls = [[source] for source in sources] if job.get("alone") else [sources]
    translate(sources[:8])  # what is only made once is made now
    n, seconds = 0, 0.0
    start, cpu_start = time.perf_counter(), time.process_time()
    while not n or seconds < job.get("seconds", 0):
        outputs = [output for call in calls for output in translate(call)]
        n += len(sources)
        seconds = time.perf_counter() - start
    cpu_seconds = time.process_time() - cpu_start
    Path(job["output"]).write_text(json.dumps(outputs), encoding="utf-8")
    return {
        "sentences_per_second": n / seconds,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "cpu_ms": 1000 * cpu_seconds / n,
        "peak_memory_mb": peak_memory_mb(),
    }


def in_batches(
    job: Job, translate: Callable[[list[list[list[Any]]]], list[list[Any]]], *, pieces: bool = False
) -> Callable[[list[Any]], list[Any]]:
    """Return a function for `measure_decoding`; `translate` turns batches of rows into output rows, in order.

    With `pieces`, rows are of pieces without end symbols instead of ids.
    """
    processor: Any = None
    if job.get("text"):
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_file=job["tokenizer"])

    def whole(sources: list[Any]) -> list[Any]:
        if processor:
            sources = processor.encode(sources, out_type=str if pieces else int, add_eos=not pieces)
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))  # like lengths together
        size = job["batch_size"]
        batches = [[sources[i] for i in order[at : at + size]] for at in range(0, len(order), size)]
        outputs: list[Any] = [[] for _ in sources]
        for i, output in zip(order, translate(batches), strict=True):
            outputs[i] = output
        return processor.decode(outputs) if processor else outputs

    return whole


def target_scores(log_probs: Any, target: Any) -> list[float]:
    """Σ log p of each row: (B, T, V) log-probabilities and (B, T) ids."""
    chosen = log_probs.float().gather(2, target[..., None])[..., 0].double()
    return list(chosen.masked_fill(target == PAD, 0).sum(1).tolist())
