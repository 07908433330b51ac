"""Search over any number of tokenized sources, in batches of sources of similar length."""

from collections.abc import Sequence
from ctypes import c_int
from dataclasses import replace
from itertools import chain

from translator.search.result import Result, SearchOptions
from translator.search.trace import Trace
from translator.translation.decoders import Decoder
from translator.translation.parallel import chunk_size, map_interruptibly, n_threads


def batched_search(
    decoder: Decoder,
    sources: Sequence[Sequence[int]],
    *,
    max_lengths: Sequence[int],
    options: SearchOptions,
    batch_size: int,
    prefixes: Sequence[Sequence[int]] | None = None,
    trace: Trace | None = None,
) -> list[Result]:
    """Search for the translations of tokenized sources, starting with the longest source.

    Args:
        decoder: what decodes a batch. If it is single-threaded, several batches are decoded in parallel.
        sources: token ids of each source, without the start symbol and the end symbol.
        max_lengths: maximum length of each output, including the prefix and the end symbol.
        options: options of the search. If there are seeds, there is one per source.
        batch_size: maximum number of sentences that are decoded together. Batches that are decoded in
            parallel may be smaller.
        prefixes: as in `NativeDecoder.search`.
        trace: as in `beam_search`. A trace requires that there is only one source.

    Returns:
        One result per source, in the order of the sources.
    """
    longest_first = sorted(range(len(sources)), key=lambda i: (-len(sources[i]), i))
    n_parallel = n_threads() if decoder.single_threaded else 1
    if decoder.single_threaded:
        batch_size = chunk_size(len(sources), n_parallel, most=batch_size)
    batches = [longest_first[start : start + batch_size] for start in range(0, len(sources), batch_size)]

    def search(rows: list[int], stop: c_int) -> list[Result]:
        return decoder.search(
            [sources[row] for row in rows],
            max_lengths=[max_lengths[row] for row in rows],
            options=replace(options, seeds=[options.seeds[row] for row in rows])
            if options.seeds
            else options,
            prefixes=None if prefixes is None else [prefixes[row] for row in rows],
            stop=stop,
            trace=trace,
        )

    if decoder.single_threaded:
        by_batch = map_interruptibly(search, batches, n_parallel)
    else:
        by_batch = [search(rows, c_int(0)) for rows in batches]
    results = dict(zip(chain(*batches), chain(*by_batch), strict=True))
    return [results[row] for row in range(len(sources))]
