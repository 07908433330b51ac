"""The searches of `translator.search` with a model in PyTorch."""

from collections.abc import Sequence
from ctypes import c_int
from dataclasses import replace

import torch
from torch import Tensor

from translator.data.batching import pad
from translator.engine.decoding import DecodingEngine
from translator.engine.kv_cache import DecoderState
from translator.engine.native_decoding import Precision
from translator.engine.reference import ReferenceDecoding, ReferenceState
from translator.engine.runtime import device_of
from translator.search.beam import search
from translator.search.result import Result, SearchOptions
from translator.search.trace import Trace
from translator.symbols import EOS


class EngineStepper:
    """Implements `search.step.Stepper` with an engine that has just encoded a batch of sources."""

    def __init__(self, engine: DecodingEngine | ReferenceDecoding, state: DecoderState | ReferenceState):
        self.engine, self.state = engine, state

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens (B, W), and return the log-probabilities of the next token, (B, W, V) float32."""
        return self.engine.step(tokens, self.state).float().log_softmax(-1)  # type: ignore[arg-type]

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences and the hypotheses to continue; see `Stepper.reorder`."""
        self.state.reorder(sentences, parents)


class TorchDecoder:
    """Searches with an engine in PyTorch. Like `NativeDecoder`, it decodes a batch at a time."""

    single_threaded = False  # PyTorch's operations use several threads

    def __init__(self, engine: DecodingEngine | ReferenceDecoding, *, precision: Precision = "float32"):
        """Wrap an engine, which computes in `precision`."""
        self.engine, self.precision = engine, precision

    @torch.inference_mode()
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
        """Search for the translations of a batch of tokenized sources; see `NativeDecoder.search`.

        If there are `prefixes`, the sources are searched one by one.
        """
        if prefixes is not None:
            return [
                self.search([source], max_lengths=[length], options=replace(options, prefix=prefix))[0]
                for source, length, prefix in zip(sources, max_lengths, prefixes, strict=True)
            ]
        device = device_of(self.engine.model)
        memory = self.engine.encode(pad([[*ids, EOS] for ids in sources]).to(device))
        stepper = EngineStepper(self.engine, self.engine.start(memory))
        return search(stepper, torch.tensor(max_lengths, device=device), options=options, trace=trace)
