"""What decoding remembers between steps: a value outside the model, so one model serves many searches."""

from dataclasses import dataclass

from torch import Tensor

from translator.model.attention import KeyValue


@dataclass(frozen=True)
class Memory:
    """A batch of encoded sources.

    Attributes:
        states: (B, S, D) float, the encoder's output.
        keep: (B, 1, 1, S) bool, True at real source tokens.
    """

    states: Tensor
    keep: Tensor


@dataclass(frozen=True)
class DecoderState:
    """Everything a decoder needs to go on: B sentences with W hypotheses each, N = B · W rows.

    Attributes:
        past: for each layer, self-attention's keys and values of the tokens so far, (N, H, T, E).
        cross: for each layer, cross-attention's keys and values of the source, (B, H, S, E).
        cross_keep: (B, 1, 1, S) bool.
        length: T, tokens read so far.
    """

    past: list[KeyValue] | None
    cross: list[KeyValue]
    cross_keep: Tensor
    length: int

    def select_rows(self, rows: Tensor) -> "DecoderState":
        """Keep some hypotheses, in the given order: (N',) row numbers."""
        past = None if self.past is None else [kv.select(rows) for kv in self.past]
        return DecoderState(past, self.cross, self.cross_keep, self.length)

    def select_sentences(self, sentences: Tensor) -> "DecoderState":
        """Keep the sources of some sentences, in the given order: (B',) sentence numbers."""
        cross = [kv.select(sentences) for kv in self.cross]
        return DecoderState(self.past, cross, self.cross_keep.index_select(0, sentences), self.length)
