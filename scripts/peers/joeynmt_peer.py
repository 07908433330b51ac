"""JoeyNMT 2.3.0: its TrainManager on its own model and optimizer, its `search` for decoding.

Measured in training: `train_and_validate`, the whole loop (its Batch, label-smoothed loss, clipping, Adam,
logging), without validation inside the measured part; fed with our batches or, with `batching`: "own", from
text as its users run it: its data set, SentencePiece and its token batches. Those count padding and have no
like lengths together: 6,000 padded tokens are about 2,300 real ones. Its loss is a divergence: it
lacks the entropy of the smoothed targets, a constant of about 1.2 at 0.1 and 6,000 pieces.

What its own configuration does not reach on a CPU: bfloat16 (`fp16` is turned off there), which is given here
by the autocast setting that TrainManager takes; and more than one process (`ddp_setup` asks for NCCL and
CUDA), which is refused. Its length penalty is ((5 + n) / 6)^α, not n^α, its output limit one a batch, and it
reads the whole prefix again at each step.

Settings tried (width 128, 4 + 4 layers, AMD Zen 4): bfloat16 takes a fifth less CPU time in training and 40 %
less in decoding; `tune_malloc` saves 15 % of training; one thread beats two on a busy machine. In
decoding a batch of 32 is a little better than 64.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from jobs import (
    BOS,
    EOS,
    PAD,
    Job,
    Rows,
    Stopwatch,
    in_batches,
    measure_decoding,
    output_limit,
    pad,
    read_batches,
    run,
    target_scores,
    use_threads,
)
from joeynmt.batch import Batch
from joeynmt.config import load_config, parse_global_args, set_validation_args
from joeynmt.model import Model, build_model
from joeynmt.prediction import prepare
from joeynmt.search import search
from joeynmt.training import TrainManager
from joeynmt.vocabulary import Vocabulary
from torch import nn

CPU = torch.device("cpu")

#: Of its own batches.
PADDED_TOKENS = 6000


def make_batch(source: Rows, target: Rows | None) -> Batch:
    """JoeyNMT's batch of our rows. Its padding is id 1, which like 0 is in no row of ours."""
    rows = pad(source).masked_fill(pad(source) == PAD, 1)
    trg = None if target is None else pad([[BOS, *row] for row in target])
    return Batch(
        src=rows,
        src_length=torch.tensor([len(row) for row in source]),
        src_prompt_mask=None,
        trg=None if trg is None else trg.masked_fill(trg == PAD, 1),
        trg_prompt_mask=None,
        indices=torch.arange(len(source)),
        device=CPU,
        pad_index=1,
        eos_index=EOS,
    )


def configuration(job: Job, folder: str) -> dict[str, Any]:
    part = {
        "type": "transformer",
        "num_heads": job["heads"],
        "embeddings": {"embedding_dim": job["width"], "scale": True, "dropout": job["dropout"]},
        "hidden_size": job["width"],
        "ff_size": job["feed_forward"],
        "dropout": job["dropout"],
        "layer_norm": "pre",
    }
    return {
        "name": "peer",
        "model_dir": folder,
        "use_cuda": False,
        "data": {},
        "model": {
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": {**part, "num_layers": job["encoder_layers"]},
            "decoder": {**part, "num_layers": job["decoder_layers"]},
        },
        "training": {
            "optimizer": "adam",
            "adam_betas": [0.9, 0.98],
            "learning_rate": job["learning_rate"],
            "learning_rate_min": 0.0,
            "scheduling": "exponential",  # it has no constant rate; this one never decays
            "decrease_factor": 1.0,
            "clip_grad_norm": 1.0,
            "label_smoothing": job["label_smoothing"],
            "normalization": "tokens",
            "batch_size": PADDED_TOKENS,
            "batch_type": "token",
            "epochs": 1,
            "validation_freq": 10**9,
        },
        "testing": {},
    }


class OwnFeed:
    """JoeyNMT's data set and loader; being asked for the next batch means that a step is over."""

    def __init__(self, data: Any, stopwatch: Stopwatch):
        self.data, self.stopwatch = data, stopwatch

    def make_iter(self, **options: Any) -> "OwnFeed":
        self.loader = self.data.make_iter(**options)
        self.batch_sampler = self.loader.batch_sampler
        return self

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            if self.stopwatch.done:
                return
            yield batch
            self.stopwatch.step_done(int(batch.ntokens))


class Feed:
    """Stands where JoeyNMT's data set and loader stand; being asked for a batch means that a step is over."""

    batch_sampler = SimpleNamespace(set_seed=lambda seed: None, get_state=lambda: None)

    def __init__(self, batches: list[dict[str, Rows]], stopwatch: Stopwatch):
        self.batches, self.stopwatch = batches, stopwatch

    def make_iter(self, **_: Any) -> "Feed":
        return self

    def __iter__(self) -> Iterator[Batch]:
        while True:
            for batch in self.batches:
                yield make_batch(batch["source"], batch["target"])
                if self.stopwatch.step_done():
                    return


class Manager(TrainManager):
    """JoeyNMT's trainer; keeps the losses."""

    losses: list[float]

    def _train_step(self, batch: Batch) -> tuple[float, int]:
        loss, correct = super()._train_step(batch)
        self.losses.append(loss)
        return loss, correct


def own_data(folder: Path) -> dict[str, Any]:
    """JoeyNMT's configuration of a folder of text and its SentencePiece vocabulary."""
    side = {
        "level": "bpe",
        "max_length": 1000,
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": str(folder / "tokenizer.model")},
        "voc_file": str(folder / "pieces.txt"),
    }
    return {
        "train": str(folder / "train"),
        "dev": str(folder / "dev"),
        "dataset_type": "plain",
        "src": {**side, "lang": "src"},
        "trg": {**side, "lang": "trg"},
    }


def autocast(job: Job) -> dict[str, Any]:
    return {"device_type": "cpu", "enabled": job["precision"] == "bfloat16", "dtype": torch.bfloat16}


def train(job: Job) -> Job:
    if job["processes"] > 1:
        sys.exit("JoeyNMT trains on CPUs in one process only: its ddp_setup asks for NCCL and CUDA")
    warnings.simplefilter("ignore")
    use_threads(job)
    batches = read_batches(job)
    stopwatch = Stopwatch(job, batches)
    with tempfile.TemporaryDirectory() as folder:
        cfg, own = configuration(job, folder), job.get("batching") == "own"
        feed: Feed | OwnFeed
        if own:
            cfg["data"] = own_data(Path(job["text"]))
            args = parse_global_args(cfg, mode="train")
            model, data, _, _ = prepare(args, rank=0, mode="train")
            feed = OwnFeed(data, stopwatch)
        else:
            args = parse_global_args(cfg, mode="train")
            pieces = [f"piece{i}" for i in range(4, job["vocabulary_size"])]
            vocabulary = Vocabulary(pieces, args.data["special_symbols"])
            model = build_model(args.model, vocabulary, vocabulary)
            model.loss_function = (args.train.loss, args.train.label_smoothing)
            feed = Feed(batches, stopwatch)
        manager = Manager(
            rank=0,
            model=model,
            model_dir=Path(folder),
            device=CPU,
            autocast=autocast(job),
            train_args=args.train,
            dev_args=set_validation_args(args.test),
        )
        manager.losses = stopwatch.losses
        manager.train_and_validate(feed, SimpleNamespace())
    return stopwatch.result()


def load(job: Job) -> Model:
    """The model of a folder that `convert.py` wrote, by JoeyNMT's own `prepare`."""
    warnings.simplefilter("ignore")
    use_threads(job)
    folder = Path(job["model"]).absolute()
    cfg = load_config(folder / "config.yaml")
    cfg["model_dir"] = str(folder)
    for side in ("src", "trg"):
        cfg["data"][side]["tokenizer_cfg"]["model_file"] = str(folder / "tokenizer.model")
    model, *_ = prepare(parse_global_args(cfg, mode="translate"), rank=0, mode="translate")
    for part in model.modules():
        if isinstance(part, nn.LayerNorm):
            part.eps = float(cfg["layer_norm_eps"])  # 1e-6 is in JoeyNMT's code, ours is PyTorch's
    return model.eval()


def decode(job: Job) -> Job:
    model = load(job)

    def translate(batches: list[Rows]) -> Rows:
        outputs = []
        for batch in batches:
            generated, _, _ = search(
                model=model,
                batch=make_batch(batch, None),
                beam_size=job["beam_size"],
                beam_alpha=job["length_penalty"],
                max_output_length=output_limit(batch, job),
                n_best=1,
                generate_unk=False,
                autocast=autocast(job),
            )
            outputs += [cut(row) for row in generated.tolist()]
        return outputs

    return measure_decoding(job, in_batches(job, translate))


def cut(row: list[int]) -> list[int]:
    """What stands before the end symbol and is no padding."""
    end = row.index(EOS) if EOS in row else len(row)
    return [int(i) for i in row[:end] if i != 1]


@torch.inference_mode()
def score(job: Job) -> Job:
    model = load(job)
    pairs = json.loads(Path(job["pairs"]).read_text(encoding="utf-8"))
    batch = make_batch(pairs["source"], pairs["target"])
    _, log_probs, _, _ = model(return_type="loss", **vars(batch))
    scores = target_scores(log_probs, pad(pairs["target"]))
    Path(job["output"]).write_text(json.dumps(scores), encoding="utf-8")
    return {"output": job["output"]}


if __name__ == "__main__":
    run(train=train, decode=decode, score=score)
