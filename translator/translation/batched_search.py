"""Search over any number of tokenized sources, in batches of sources of similar length."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from translator.data.batching import pad
from translator.engine.decoding import DecodingEngine
from translator.engine.reference import ReferenceDecoding
from translator.engine.runtime import chunk_size, parallel_map
from translator.model.transformer import EncoderOutput
from translator.search import Result, SearchOptions, Trace, search
from translator.symbols import EOS

#: The margin below which the search for a sentence is repeated with the sentence in a batch of its own, so
#: that its translation does not depend on other sentences. In float32, the scores of a sentence vary by up to
#: about 1e-5 with the size of its batch, because numbers are added in a different order. A decision whose
#: margin is more than twice this variation is the same in every batch.
CLOSE_CALL = 4e-5


class EngineStepper:
    """Implements `search.step.Stepper` with a decoding engine, so that a search can use the engine."""

    def __init__(self, engine: DecodingEngine | ReferenceDecoding, memory: EncoderOutput):
        """Start decoding a batch of encoded sources."""
        self.engine: Any = engine
        self.state = engine.start(memory)

    def step(self, tokens: Tensor) -> Tensor:
        """Append tokens (B, W), and return the log-probabilities of the next token, (B, W, V) float32."""
        logits = self.engine.step(tokens, self.state).float()
        return torch.log_softmax(logits, -1, out=logits)  # in place, because allocation takes longer

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        """Select the sentences and the hypotheses to continue; see `Stepper.reorder`."""
        self.state.reorder(sentences, parents)


def batched_search(
    engine: DecodingEngine | ReferenceDecoding,
    sources: Sequence[Sequence[int]],
    *,
    max_lengths: Sequence[int],
    options: SearchOptions,
    batch_size: int,
    repeat_close_calls: bool,
    trace: Trace | None = None,
) -> list[Result]:
    """Search for the translations of tokenized sources, starting with the longest source.

    Args:
        engine: the decoding engine. Its model must be on the device of `options.forbidden`.
        sources: token ids of each source, without the start symbol and the end symbol.
        max_lengths: maximum length of each output, including the prefix and the end symbol.
        options: options of the search.
        batch_size: maximum number of sentences that are decoded together. On a CPU, several batches are
            decoded in parallel, and they may be smaller.
        repeat_close_calls: whether a sentence whose margin is below `CLOSE_CALL` is searched again in a batch
            of its own.
        trace: as in `beam_search`. A trace requires that there is only one source.

    Returns:
        One result per source, in the order of the sources.
    """
    longest_first = sorted(range(len(sources)), key=lambda i: (-len(sources[i]), i))
    on_cpu = options.forbidden.device.type == "cpu"
    if on_cpu:
        batch_size = chunk_size(len(sources), torch.get_num_threads(), most=batch_size)
    batches = [longest_first[start : start + batch_size] for start in range(0, len(sources), batch_size)]

    def search_rows(rows: list[int]) -> list[Result]:
        return search_batch(
            engine,
            [sources[row] for row in rows],
            max_lengths=[max_lengths[row] for row in rows],
            options=options,
            trace=trace,
        )

    def search_and_repeat(rows: list[int]) -> list[Result]:
        results = search_rows(rows)
        for i, result in enumerate(results):
            if repeat_close_calls and result.margin < CLOSE_CALL and len(rows) > 1:
                [results[i]] = search_rows([rows[i]])
        return results

    by_batch = parallel_map(search_and_repeat, batches) if on_cpu else map(search_and_repeat, batches)
    results = dict(zip(chain(*batches), chain(*by_batch), strict=True))
    return [results[row] for row in range(len(sources))]


@torch.inference_mode()
def search_batch(
    engine: DecodingEngine | ReferenceDecoding,
    sources: Sequence[Sequence[int]],
    *,
    max_lengths: Sequence[int],
    options: SearchOptions,
    trace: Trace | None = None,
) -> list[Result]:
    """Search for the translations of one batch of sources. The arguments are those of `batched_search`."""
    device = options.forbidden.device
    source_ids = pad([[*ids, EOS] for ids in sources]).to(device)
    stepper = EngineStepper(engine, engine.encode(source_ids))
    return search(stepper, torch.tensor(max_lengths, device=device), options=options, trace=trace)
