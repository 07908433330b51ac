"""What decoding remembers between steps: values outside the model, so one model serves many searches."""

from dataclasses import dataclass, replace

from torch import Tensor


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
    """Everything a decoder needs to go on: B sentences with W hypotheses each.

    The tokens that a sentence's hypotheses have read, K in all, lie side by side and stay where they are. A
    hypothesis looks at those that it descends from. So when a search goes on from other parents, a small
    mask is reordered and not the keys and values.

    Attributes:
        past: for each layer, self-attention's keys and values of all tokens so far, (B, 2 H, K, E).
        cross: for each layer, cross-attention's keys and values of the source, (B, 2 H, S, E).
        cross_bias: (B, 1, 1, S) float, -inf at padding; None where no source is padded.
        descent: (B, W, K) float, 0 where a hypothesis descends from a token, -inf elsewhere.
        length: T, tokens that each hypothesis has read.
    """

    past: list[Tensor]
    cross: list[Tensor]
    cross_bias: Tensor | None
    descent: Tensor
    length: int

    def select(self, sentences: Tensor, parents: Tensor) -> "DecoderState":
        """Go on with some sentences and, in each, with some hypotheses.

        Args:
            sentences: (B',) rising sentence numbers.
            parents: (B', W') numbers of the hypotheses to continue.
        """
        state = self
        if len(sentences) < len(self.descent):
            state = DecoderState(
                [kv.index_select(0, sentences) for kv in self.past],
                [kv.index_select(0, sentences) for kv in self.cross],
                None if self.cross_bias is None else self.cross_bias.index_select(0, sentences),
                self.descent.index_select(0, sentences),
                self.length,
            )
        wanted = parents[..., None].expand(-1, -1, self.descent.size(2))
        return replace(state, descent=state.descent.gather(1, wanted))
