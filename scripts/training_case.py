"""The training benchmark: model sizes, configuration, and the shared batches."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from translator.config import validate
from translator.data.batching import BatchStream
from translator.data.preparation import prepare
from translator.symbols import EOS, PAD

Measured = dict[str, Any]

#: Model sizes: width, feed-forward width, layers of each stack, vocabulary size, and padded tokens per batch,
#: chosen so that a batch has about 2,400 real target tokens.
CASES = {
    "256": {"width": 256, "feed_forward": 1024, "layers": 3, "pieces": 8000, "max_tokens_per_batch": 3050},
    "128": {"width": 128, "feed_forward": 512, "layers": 4, "pieces": 6000, "max_tokens_per_batch": 2950},
}


def training_config(case: Measured, root: str) -> Measured:
    return {
        "data": {"format": "text", "root": root, "files": {"train": "train.{lang}", "val": "val.{lang}"}},
        "tokenizer": {"vocabulary_size": case["pieces"]},
        "model": {
            "width": case["width"], "n_heads": 4, "feed_forward": case["feed_forward"], "dropout": 0.1,
            "n_encoder_layers": case["layers"], "n_decoder_layers": case["layers"],
        },
        "train": {
            "max_steps": 10**6, "max_tokens_per_batch": case["max_tokens_per_batch"], "learning_rate": 1e-3
        },
        "validation": {"every_steps": 10**6, "n_samples": 0},
    }  # fmt: skip


def write_batches(config: Measured, folder: Path, n_batches: int) -> tuple[list[tuple[int, int]], int]:
    """Write the first batches and all pairs of a run; return the lengths, and target tokens per batch."""
    checked = validate(config)
    prepared = prepare(checked)
    stream = BatchStream(prepared.train, partial(prepared.plan, checked.train))
    lengths = []
    with (folder / "batches.jsonl").open("w", encoding="utf-8") as file:
        for batch, _ in zip(stream, range(n_batches), strict=False):
            sides = [
                [row[row != PAD].tolist() for row in side] for side in (batch.source_ids, batch.target_out)
            ]
            file.write(json.dumps({"source": sides[0], "target": sides[1]}) + "\n")
            lengths += [(len(source), len(target)) for source, target in zip(*sides, strict=True)]
    everything = prepared.train[:]
    pairs = {side: [[*ids, EOS] for ids in everything[f"{side}_ids"]] for side in ("source", "target")}
    (folder / "pairs.json").write_text(json.dumps(pairs), encoding="utf-8")
    texts = prepared.texts[:]
    for side, name in (("src", "source"), ("trg", "target")):
        for split, lines in (("train", texts[name]), ("dev", texts[name][:2])):
            _write_lines(folder / f"{split}.{side}", lines)
    shutil.copy(prepared.folder / "tokenizer.model", folder)
    pieces = prepared.tokenizer.pieces(range(4, len(prepared.tokenizer)))
    _write_lines(
        folder / "pieces.txt", ["<unk>", "<pad>", "<s>", "</s>", *pieces]
    )  # JoeyNMT's names and order
    return lengths, round(sum(target for _, target in lengths) / n_batches)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
