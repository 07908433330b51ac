"""Selection of a backend by its name. A training run or a translator keeps its backend.

| backend   | training                              | decoding                |
|-----------|---------------------------------------|-------------------------|
| native    | `TrainingEngine`, operations in C     | `NativeDecoder`         |
| torch     | `TrainingEngine`, PyTorch's operations| `DecodingEngine`        |
| reference | `translator.model` only               | `translator.model` only |
"""

from typing import Literal

from translator.engine.decoding import DecodingEngine
from translator.engine.native import load_native
from translator.engine.native_decoding import Precision
from translator.engine.native_library import problem
from translator.engine.ops import Ops
from translator.engine.reference import ReferenceDecoding, ReferenceTraining
from translator.engine.runtime import device_of
from translator.engine.torch_search import TorchDecoder
from translator.engine.training import TrainingEngine
from translator.errors import TrainingError
from translator.model.transformer import Transformer

Backend = Literal["native", "torch", "reference"]


def choose_training_backend(wanted: str, device: str) -> tuple[Backend, str | None]:
    """Return the backend to train with and, if the C operations are missing, the reason; else None.

    On other devices than a CPU, "auto" and "native" both mean "torch".

    Args:
        wanted: "auto", "native", "torch" or "reference". "auto" means "native" if the C operations are
            available, else "torch".
        device: device type, such as "cpu".

    Raises:
        TrainingError: "native" is wanted on a CPU, but the C operations are not available.
    """
    if wanted == "reference":
        return "reference", None
    if wanted == "torch" or device != "cpu":
        return "torch", None
    reason = problem()
    if reason is None:
        return "native", None
    if wanted == "native":
        raise TrainingError(f"hardware.backend=native: {reason}; hardware.backend=auto does without")
    return "torch", reason


def training_engine(model: Transformer, backend: Backend) -> TrainingEngine | ReferenceTraining:
    """Return an engine that computes the loss of a model with the given backend."""
    if backend == "reference":
        return ReferenceTraining(model)
    return TrainingEngine(model, Ops(load_native() if backend == "native" else None))


def torch_decoder(model: Transformer, backend: str, *, precision: Precision) -> TorchDecoder:
    """Return a decoder of a model in evaluation mode, in PyTorch.

    Args:
        model: the model.
        backend: "reference" for `translator.model` itself, without a cache; otherwise, any name.
        precision: "float32", or another for bfloat16. On a CPU, everything is float32.
    """
    if backend == "reference":
        return TorchDecoder(ReferenceDecoding(model))
    bfloat16 = device_of(model).type != "cpu" and precision != "float32"
    engine = DecodingEngine(model, bfloat16=bfloat16)
    return TorchDecoder(engine, precision="bfloat16" if bfloat16 else "float32")
