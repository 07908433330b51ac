"""Train JoeyNMT on Multi30k for some minutes, then score it: the quality baseline.

    .peers/joeynmt/bin/python scripts/peers/joeynmt_multi30k.py --data FOLDER --out FOLDER --minutes 30

--data has train.fr, train.en, val.fr and val.en. --out gets the SentencePiece vocabulary (8,000 pieces of
both languages), JoeyNMT's model_dir and val.hyps.*. The minutes are of training; validation does not count.
The last line of stdout is JSON: beam-5 BLEU on val, plain text, of the last weights and of the best ones (by
greedy BLEU on val, if there was a validation).
"""

import argparse
import json
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from joeynmt.config import load_config, parse_global_args, set_validation_args
from joeynmt.helpers import load_checkpoint, make_model_dir
from joeynmt.helpers_for_ddp import get_logger
from joeynmt.prediction import predict, prepare
from joeynmt.training import TrainManager
from sacrebleu.metrics import BLEU

CPU = torch.device("cpu")
PIECES = 8000


def make_vocabulary(data: Path, out: Path) -> None:
    """SentencePiece with JoeyNMT's special ids, and its pieces in JoeyNMT's order."""
    sentencepiece.SentencePieceTrainer.train(
        input=[str(data / "train.fr"), str(data / "train.en")],
        model_prefix=str(out / "sp"),
        model_type="unigram",
        vocab_size=PIECES,
        character_coverage=1.0,
        unk_id=0,
        pad_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(out / "sp.model"))
    pieces = [model.id_to_piece(i) for i in range(len(model))]
    (out / "vocabulary.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")


def configuration(arguments: argparse.Namespace) -> dict[str, Any]:
    cfg = load_config(arguments.config)
    cfg["model_dir"] = str(arguments.out / "model")
    cfg["data"] |= {"train": str(arguments.data / "train"), "dev": str(arguments.data / "val")}
    for side in ("src", "trg"):
        cfg["data"][side]["voc_file"] = str(arguments.out / "vocabulary.txt")
        cfg["data"][side]["tokenizer_cfg"] = {"model_file": str(arguments.out / "sp.model")}
    return cfg


class TimedManager(TrainManager):
    """JoeyNMT's trainer, which an interrupt ends in good order; the clock stands while it validates."""

    def _validate(self, valid_data: Any) -> None:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        super()._validate(valid_data)
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def train(arguments: argparse.Namespace, args: Any, autocast: dict[str, Any]) -> tuple[Any, Any, Any]:
    model, train_data, dev_data, _ = prepare(args, rank=0, mode="train")
    manager = TimedManager(
        rank=0,
        model=model,
        model_dir=args.model_dir,
        device=CPU,
        autocast=autocast,
        seed=args.seed,
        train_args=args.train,
        dev_args=set_validation_args(args.test),
    )
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 60 * arguments.minutes)
    manager.train_and_validate(train_data, dev_data)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return model, dev_data, manager.stats


def score(name: str, model: Any, data: Any, args: Any, arguments: argparse.Namespace) -> float:
    """Beam-search BLEU of a checkpoint on the untouched lines of val.en."""
    model.load_state_dict(load_checkpoint(args.model_dir / f"{name}.ckpt", CPU)["model_state"])
    autocast = {"device_type": "cpu", "enabled": False}
    hypotheses = predict(model, data, CPU, n_gpu=0, args=args.test, autocast=autocast)[2]
    text = "".join(f"{line}\n" for line in hypotheses)
    (arguments.out / f"val.hyps.{name}").write_text(text, encoding="utf-8")
    references = (arguments.data / "val.en").read_text(encoding="utf-8").split("\n")[:-1]
    if len(hypotheses) != len(references):
        raise SystemExit(f"{len(hypotheses)} translations of {len(references)} lines")
    return BLEU(tokenize="13a").corpus_score(hypotheses, [references]).score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_suffix(".yaml"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    make_vocabulary(arguments.data, arguments.out)
    cfg = configuration(arguments)
    make_model_dir(Path(cfg["model_dir"]), overwrite=True)
    get_logger("", log_file=str(arguments.out / "train.log"))
    args = parse_global_args(cfg, mode="train")
    enabled = arguments.precision == "bfloat16"
    start = time.perf_counter()
    model, data, stats = train(
        arguments, args, {"device_type": "cpu", "enabled": enabled, "dtype": torch.bfloat16}
    )
    result = {
        "seconds": time.perf_counter() - start,
        "steps": stats.steps,
        "target_tokens": stats.total_tokens,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    for name in ("latest", "best"):
        if (args.model_dir / f"{name}.ckpt").exists():
            result[f"bleu_{name}"] = score(name, model, data, args, arguments)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
