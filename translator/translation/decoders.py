"""What decodes a batch, and the choice between C and PyTorch."""

from collections.abc import Sequence
from ctypes import c_int
from typing import TYPE_CHECKING, Literal, Protocol

from translator.config import ModelConfig
from translator.engine.native_decoding import NativeDecoder, Precision
from translator.engine.native_library import load_library, problem
from translator.errors import UsageError
from translator.model_folder import LoadedModel
from translator.search.result import Result, SearchOptions
from translator.search.trace import Trace

if TYPE_CHECKING:
    from translator.model.transformer import Transformer

DecodingBackend = Literal["auto", "native", "torch", "reference"]


class Decoder(Protocol):
    """What decodes a batch: a `NativeDecoder` or a `TorchDecoder`."""

    single_threaded: bool
    precision: Precision

    def search(
        self,
        sources: Sequence[Sequence[int]],
        *,
        max_lengths: Sequence[int],
        options: SearchOptions,
        prefixes: Sequence[Sequence[int]] | None = None,
        stop: c_int | None = None,
        trace: Trace | None = None,
    ) -> list[Result]:
        """Search for the translations of a batch of tokenized sources; see `NativeDecoder.search`."""
        ...


def choose_decoder(
    model: "Transformer | LoadedModel", shape: ModelConfig, *, precision: Precision, backend: DecodingBackend
) -> tuple[Decoder, str | None]:
    """Return a decoder in C if that is possible and allowed, else one in PyTorch.

    Args:
        model: the model, or a loaded model folder, of which the model is only built for PyTorch.
        shape: the shape of the model.
        precision: as in `Translator.load`.
        backend: as in `Translator.load`.

    Returns:
        The decoder, and why it is not in C; None if it is, or if another backend was asked for.

    Raises:
        UsageError: the backend is "native", and the model cannot be decoded in C.
    """
    why_not = None
    is_on_cpu = isinstance(model, LoadedModel) or next(model.parameters()).is_cpu
    if backend in ("auto", "native") and is_on_cpu:
        library = load_library()
        why_not = problem() or NativeDecoder.why_unsupported(shape)
        if backend == "native" and why_not is not None:
            raise UsageError(f"backend 'native': {why_not}; 'auto' does without")
        if library is not None and why_not is None:
            if isinstance(model, LoadedModel):
                weights = model.weights
            else:
                weights = {name: value.numpy() for name, value in model.state_dict().items()}
            return NativeDecoder(library, weights, shape, precision=precision), None
    from translator.engine.backend import torch_decoder

    module = model.model if isinstance(model, LoadedModel) else model
    return torch_decoder(module.eval(), backend, precision=precision), why_not
