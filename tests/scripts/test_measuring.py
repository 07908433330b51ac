"""The benchmark's count of operations equals PyTorch's, and ignores padding."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from translator.data.batching import make_batch
from translator.engine.cross_entropy import cross_entropy
from translator.model import Transformer
from translator.model.layers import LayerOptions
from translator.symbols import PAD

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from measuring import training_flops

WIDTH, HEADS, FEED_FORWARD, PIECES = 16, 4, 24, 50


def counted(lengths: list[tuple[int, int]], layers: tuple[int, int]) -> int:
    """What PyTorch counts in a training step of our model on pairs of these lengths, padding included."""
    options = LayerOptions(WIDTH, HEADS, FEED_FORWARD)
    n_encoder, n_decoder = layers
    model = Transformer(PIECES, options, n_encoder_layers=n_encoder, n_decoder_layers=n_decoder)
    batch = make_batch([[5] * (source - 1) for source, _ in lengths], [[6] * (t - 1) for _, t in lengths])
    with FlopCounterMode(display=False) as counter:
        states = model.decode(model.encode(batch.source_ids), batch.target_in)
        real = batch.target_out != PAD
        loss, _ = cross_entropy(states[real], model.embedding.weight, batch.target_out[real], 0.1)
        loss.backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def formula(lengths: list[tuple[int, int]], layers: tuple[int, int]) -> int:
    return training_flops(lengths, width=WIDTH, feed_forward=FEED_FORWARD, layers=layers, pieces=PIECES)


@pytest.mark.parametrize("layers", [(1, 1), (3, 2)])
@pytest.mark.parametrize("lengths", [[(7, 5)], [(6, 9)] * 4])
def test_without_padding_the_formula_counts_what_pytorch_counts(
    lengths: list[tuple[int, int]], layers: tuple[int, int]
) -> None:
    assert formula(lengths, layers) == counted(lengths, layers)


def test_padding_counts_as_nothing() -> None:
    lengths = [(4, 3), (9, 8)]
    assert formula(lengths, (2, 2)) == sum(formula([pair], (2, 2)) for pair in lengths)
    assert formula(lengths, (2, 2)) < counted(lengths, (2, 2))
    assert torch.is_grad_enabled()
