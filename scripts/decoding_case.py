"""The decoding benchmark: programs and their settings, the measured job, and untrained models."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import torch
from measuring import PEERS, Measured, output, run_job

from translator.building import build_model
from translator.engine.runtime import multiplies_bfloat16
from translator.evaluation.metrics import bleu
from translator.model_folder import load_model_folder, save_weights, write_manifest
from translator.symbols import EOS

TRANSLATOR = str(Path(sys.executable).with_name("translator"))

#: Sentences that are translated one by one with --alone, and the output length of untrained models.
N_ALONE, UNTRAINED_LENGTH = 100, 25

#: Table rows: name, adapter, and settings, by default the fastest for many sentences on two cores.
OURS = {"threads": 2, "batch_size": 128}
CTRANSLATE2 = {"threads": 1, "inter_threads": 2, "batch_size": 64, "environment": {}}
PRECISIONS = ["float32", *(["bfloat16"] if multiplies_bfloat16() else []), "int8"]
PROGRAMS: dict[str, tuple[str, Measured]] = {
    **{f"passerelle {name}": ("passerelle", OURS | {"precision": name}) for name in PRECISIONS},
    "CTranslate2 float32": ("ctranslate2", CTRANSLATE2 | {"precision": "float32"}),
    "CTranslate2 int8": ("ctranslate2", CTRANSLATE2 | {"precision": "int8", "batch_size": 32}),
    "Transformers generate": ("transformers", {"threads": 2, "precision": "float32", "batch_size": 64}),
    "JoeyNMT": ("joeynmt", {"threads": 2, "precision": "float32", "batch_size": 32}),
}

#: Alternative settings that --tune tries: the fastest of the first group, with that one of the next, …
SIZES: list[Measured] = [{"batch_size": size} for size in (16, 32, 64, 128, 256)]
MKL, PACKED = {"CT2_USE_MKL": "1"}, {"CT2_USE_EXPERIMENTAL_PACKED_GEMM": "1"}
ALTERNATIVES: dict[str, list[list[Measured]]] = {
    "passerelle": [SIZES],
    "ctranslate2": [
        [{"threads": 1, "inter_threads": 2}, {"threads": 2, "inter_threads": 1}],
        [{"environment": variables} for variables in ({"CT2_USE_MKL": "0"}, MKL, MKL | PACKED)],
        SIZES,
    ],
    "transformers": [[{"threads": 1}, {"threads": 2}], SIZES],
    "joeynmt": [[{"threads": 1}, {"threads": 2}], SIZES],
}


def programs(baseline: Path | None) -> dict[str, tuple[str, Measured]]:
    """Return the table rows, with rows of another checkout of this project if there is a baseline."""
    if baseline is None:
        return PROGRAMS
    there = {"environment": {"PYTHONPATH": str(baseline.resolve())}}
    earlier = {
        f"{name}, {baseline.name}": (adapter, settings | there)
        for name, (adapter, settings) in PROGRAMS.items()
        if adapter == "passerelle"
    }
    return PROGRAMS | earlier


class DecodingCase:
    """One model, the sources, and what is measured with them: the arguments of `benchmark.py decode`."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, adapters: set[str]):
        """Write the sources, and the model of each adapter, to a folder."""
        model = arguments.model
        if arguments.width:
            model = str(folder / "untrained")
            write_untrained(arguments.model, Path(model), width=arguments.width)
        if adapters & {"transformers", "joeynmt"}:
            output([sys.executable, str(PEERS / "convert.py"), model, str(folder)])
        if "ctranslate2" in adapters:
            output([TRANSLATOR, "export", str(folder / "ctranslate2"), "--model", model])
        peers = {"transformers": "pegasus", "joeynmt": "joeynmt", "ctranslate2": "ctranslate2"}
        self.models = {"passerelle": model, **{peer: str(folder / name) for peer, name in peers.items()}}
        self.folder, self.text, bundle = folder, arguments.text, load_model_folder(Path(model))
        self.tokenizer, search = bundle.tokenizer, bundle.config.search
        n = N_ALONE if arguments.alone else None
        lines = Path(arguments.sources).read_text(encoding="utf-8").splitlines()[:n]
        self.n_sentences = len(lines)
        self.references: list[str] | None = None
        if arguments.references:
            self.references = Path(arguments.references).read_text(encoding="utf-8").splitlines()[:n]
        self.first_outputs: list[object] = []
        ids = self.tokenizer.encode_batch(lines)
        pieces = self.tokenizer.pieces(range(len(self.tokenizer)))
        self._id_of = {piece: number for number, piece in enumerate(pieces)}
        for name, rows in (
            ("text", lines),
            ("ids", [[*row, EOS] for row in ids]),
            ("pieces", [[pieces[number] for number in row] for row in ids]),
        ):
            (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
        (folder / "tokenizer.model").write_bytes(self.tokenizer.model)
        self._job = {
            "text": arguments.text, "alone": arguments.alone, "seconds": arguments.seconds,
            "beam_size": arguments.beam, "length_penalty": search.length_penalty,
            "max_length_ratio": search.max_length_ratio, "max_length_offset": search.max_length_offset,
            "tokenizer": str(folder / "tokenizer.model"), "output": str(folder / "output.json"),
        }  # fmt: skip

    def measure(self, adapter: str, settings: Measured) -> Measured:
        """Return the measurements of a job; `same` is the share of outputs that equal those of the first."""
        unit = "text" if self.text else "pieces" if adapter == "ctranslate2" else "ids"
        place = {"model": self.models[adapter], "sources": str(self.folder / f"{unit}.json")}
        measured = run_job(adapter, "decode", self._job | place | settings, self.folder)
        outputs = json.loads((self.folder / "output.json").read_text(encoding="utf-8"))
        if unit == "pieces":
            outputs = [[self._id_of[piece] for piece in row] for row in outputs]
        self.first_outputs = self.first_outputs or outputs
        measured["same"] = fmean(a == b for a, b in zip(outputs, self.first_outputs, strict=True))
        if self.references is not None:
            texts = outputs if self.text else [self.tokenizer.decode(row) for row in outputs]
            measured["bleu"] = bleu(texts, self.references)
        return measured

    def tuned(self, name: str, adapter: str, settings: Measured) -> Measured:
        """Return the fastest settings of a program."""

        def speed(tried: Measured) -> float:
            best = max(float(self.measure(adapter, tried)["sentences_per_second"]) for _ in range(2))
            print(f"{name}: {best:,.1f} sentences/s with {tried}", file=sys.stderr, flush=True)
            return best

        return fastest(settings, ALTERNATIVES[adapter], speed)


def fastest(
    settings: Measured, groups: Sequence[Sequence[Measured]], speed: Callable[[Measured], float]
) -> Measured:
    """Return settings with the fastest alternative of each group, chosen one group after another."""
    for group in groups:
        variables = settings.get("environment", {})
        tried = [settings | one | {"environment": variables | one.get("environment", {})} for one in group]
        settings = max(tried, key=speed)
    return settings


def write_untrained(model: str, folder: Path, *, width: int) -> None:
    """Write a model with random weights, else like `model`, whose outputs all have the same length.

    The embedding of the end symbol is zero. Its logit is, too, so it is never among the best, and a search
    ends at the limit.
    """
    bundle = load_model_folder(Path(model))
    shape = bundle.config.model.model_copy(
        update={"width": width, "n_heads": max(2, width // 64), "feed_forward": 4 * width}
    )
    limit = {"max_length_ratio": 1e-9, "max_length_offset": UNTRAINED_LENGTH}
    search = bundle.config.search.model_copy(update=limit)
    config = bundle.config.model_copy(update={"model": shape, "search": search})
    torch.manual_seed(1)
    weights = build_model(shape, len(bundle.tokenizer)).state_dict()
    weights["embedding.weight"][[EOS, *bundle.tokenizer.never_emitted]] = 0
    save_weights(folder, weights, bundle.tokenizer, config)
    write_manifest(folder, {"source_language": config.data.source_language})
