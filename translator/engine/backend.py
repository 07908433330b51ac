"""Selection of the backend: made once, by name, for training and for decoding.

| backend   | training                              | decoding                |
|-----------|---------------------------------------|-------------------------|
| native    | `TrainingEngine`, operations in C     | `DecodingEngine`        |
| torch     | `TrainingEngine`, PyTorch's operations| `DecodingEngine`        |
| reference | `translator.model` only               | `translator.model` only |
"""

from typing import Literal

from translator.engine.decoding import DecodingEngine
from translator.engine.native import load_native, problem
from translator.engine.ops import Ops
from translator.engine.quantized import Precision
from translator.engine.reference import ReferenceDecoding, ReferenceTraining
from translator.engine.training import TrainingEngine
from translator.model.transformer import Transformer

Backend = Literal["native", "torch", "reference"]


def choose_training_backend(wanted: str, device: str) -> tuple[Backend, str | None]:
    """Return the backend to train with, and why the native backend is unavailable if it was wanted.

    Args:
        wanted: auto, native, torch or reference; `auto` is native on a CPU with a C compiler, else torch.
        device: device type, such as "cpu".
    """
    if wanted == "reference":
        return "reference", None
    if wanted == "torch" or device != "cpu":
        return "torch", None
    reason = problem()
    return ("native", None) if reason is None else ("torch", reason)


def training_engine(model: Transformer, backend: Backend) -> TrainingEngine | ReferenceTraining:
    """Return an engine that computes the loss of a model."""
    if backend == "reference":
        return ReferenceTraining(model)
    return TrainingEngine(model, Ops(load_native() if backend == "native" else None))


def decoding_engine(
    model: Transformer, backend: str, *, precision: Precision
) -> DecodingEngine | ReferenceDecoding:
    """Return an engine that decodes with a model; `auto` and `native` mean `torch`, so far the fastest."""
    return ReferenceDecoding(model) if backend == "reference" else DecodingEngine(model, precision=precision)
