"""Do the peers compute what ours computes? python scripts/peers/verify.py MODEL SOURCE_FILE TARGET_FILE

Runs in our own environment, from the project's folder; the peers run in theirs (`make peers`). Converts the
model, then compares Σ log p of given translations, by teacher forcing, and greedy outputs. Exit status 1
if a score is more than 0.001 away or more than 2 % of the greedy outputs differ.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from convert import convert

from translator.data.tokenizer import Tokenizer
from translator.symbols import EOS
from translator.translation.inference import Translator

HERE = Path(__file__).resolve().parent
PEERS = {"transformers": "pegasus", "joeynmt": "joeynmt"}


def peer(name: str, verb: str, job: dict[str, Any], folder: Path) -> None:
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    python = HERE.parent.parent / ".peers" / name / "bin" / "python"
    command = [str(python), str(HERE / f"{name}_peer.py"), verb, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} {verb} failed:\n{done.stderr[-2000:]}")


def ids_of(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [[*ids, EOS] for ids in tokenizer.encode_batch(texts)]


def compare(name: str, ours: Translator, sources: list[str], targets: list[str], folder: Path) -> bool:
    out = folder / "out.json"
    job = {"model": str(folder / PEERS[name]), "threads": 1, "precision": "float32", "output": str(out)}
    rows, forced = ids_of(ours.tokenizer, sources), ids_of(ours.tokenizer, targets)
    pairs = folder / "pairs.json"
    pairs.write_text(json.dumps({"source": rows, "target": forced}), encoding="utf-8")
    peer(name, "score", {**job, "pairs": str(pairs)}, folder)
    theirs = json.loads(out.read_text(encoding="utf-8"))
    worst = max(abs(a - b) for a, b in zip(ours.score(sources, targets), theirs, strict=True))

    (folder / "sources.json").write_text(json.dumps(rows), encoding="utf-8")
    options = ours.config.search.model_copy(update={"beam_size": 1})
    rules = {"max_length_ratio": options.max_length_ratio, "max_length_offset": options.max_length_offset}
    search = {"beam_size": 1, "length_penalty": options.length_penalty, "batch_size": 32, **rules}
    peer(name, "decode", {**job, **search, "sources": str(folder / "sources.json")}, folder)
    greedy = json.loads(out.read_text(encoding="utf-8"))
    found = ours.search([row[:-1] for row in rows], options)
    same = sum(list(a.hypotheses[0].ids) == b for a, b in zip(found, greedy, strict=True))
    print(f"{name}: {len(rows)} lines, Σ log p at most {worst:.2e} away, {same} greedy outputs the same")
    return worst <= 1e-3 and same >= 0.98 * len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder of ours")
    parser.add_argument("source", type=Path, help="a text file")
    parser.add_argument("target", type=Path, help="its translation, line by line")
    parser.add_argument("--lines", type=int, default=200, help="how many lines are compared")
    arguments = parser.parse_args()
    ours = Translator.load(arguments.model)
    texts = [
        path.read_text(encoding="utf-8").split("\n")[: arguments.lines]
        for path in (arguments.source, arguments.target)
    ]
    with tempfile.TemporaryDirectory() as folder:
        convert(arguments.model, Path(folder))
        results = [compare(name, ours, *texts, Path(folder)) for name in PEERS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
