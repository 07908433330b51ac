"""Measure how time and memory grow with the corpus; print JSON. Linux only: memory is read from /proc.

python scripts/scale.py preparation --pairs 1000000
python scripts/scale.py training --pairs 10000 1000000 --steps 60

Each measurement runs in a separate process, on a corpus written by `make_corpus.py`. Private memory is the
anonymous memory of the whole process tree. It excludes pages of mapped files, which the system can drop.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import make_corpus

CONFIG = """
run: {{root: {root}/runs}}
data:
  format: text
  root: {root}/corpus
  files: {{train: "train.{{lang}}", val: "val.{{lang}}"}}
  cache: {root}/cache
tokenizer: {{vocabulary_size: 8000}}
model: {{width: 128, n_heads: 4, feed_forward: 512, n_encoder_layers: 2, n_decoder_layers: 2}}
train: {{max_steps: {steps}, max_tokens_per_batch: 2400}}
validation: {{n_samples: 0}}
hardware: {{accelerator: cpu}}
"""


def measure_preparation(n_pairs: int) -> dict[str, Any]:
    """Prepare a corpus without a cache: seconds, CPU seconds, peak private MB."""
    with tempfile.TemporaryDirectory() as root:
        config = _write_corpus(Path(root), n_pairs, steps=1)
        return {"n_pairs": n_pairs, **_measure("_prepare", config)}


def measure_training_memory(n_pairs: int, steps: int) -> dict[str, Any]:
    """Train for some steps on an already prepared corpus: peak private MB, seconds per step."""
    with tempfile.TemporaryDirectory() as root:
        config = _write_corpus(Path(root), n_pairs, steps=steps)
        _measure("_prepare", config)
        return {"n_pairs": n_pairs, "steps": steps, **_measure("_train", config)}


def _write_corpus(root: Path, n_pairs: int, *, steps: int) -> Path:
    make_corpus.write(root / "corpus", n_pairs, n_small=100)
    config = root / "scale.yaml"
    config.write_text(CONFIG.format(root=root, steps=steps), encoding="utf-8")
    return config


def _measure(work: str, config: Path) -> dict[str, Any]:
    """Run one of the functions below in a separate process, and add the JSON that it prints."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = f"import sys, scale; scale.{work}(sys.argv[1])"
    here = Path(__file__).resolve().parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    command = [sys.executable, "-c", code, str(config)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(_private_mb, _process_tree(process.pid))))
            time.sleep(0.02)
        assert process.stdout is not None
        printed = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{work} on {config} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_private_mb": round(peak, 1),
        **json.loads(printed),
    }


def _process_tree(pid: int) -> list[int]:
    tree = [pid]
    for one in tree:  # grows during iteration
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                tree += map(int, children.read_text().split())
            except OSError:  # the thread has ended
                continue
    return tree


def _private_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # the process has ended
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


# -- run in a separate process ---------------------------------------------------------------------------


def _prepare(config: str) -> None:
    from translator.config.file import load_config
    from translator.data.preparation import prepare

    print(json.dumps({"n_kept": prepare(load_config(Path(config))).report.n_kept}))


def _train(config: str) -> None:
    from translator.config.file import load_config
    from translator.training.module import TranslationModule
    from translator.training.run import train

    ends: list[float] = []
    record_step = TranslationModule.record_step

    def timed(module: TranslationModule, batch: Any) -> None:
        record_step(module, batch)
        ends.append(time.perf_counter())

    TranslationModule.record_step = timed  # type: ignore[method-assign]
    train(load_config(Path(config)), name="scale")
    steps = [end - start for start, end in pairwise(ends[4:])]  # the first ones warm up
    print(json.dumps({"median_seconds_per_step": round(statistics.median(steps), 4)}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["preparation", "training"])
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 1_000_000], metavar="N")
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    for n_pairs in arguments.pairs:
        if arguments.what == "preparation":
            print(json.dumps(measure_preparation(n_pairs)), flush=True)
        else:
            print(json.dumps(measure_training_memory(n_pairs, arguments.steps)), flush=True)


if __name__ == "__main__":
    main()
