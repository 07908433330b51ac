"""Where a layer and the model have dropout, and when it acts."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toy_model import OPTIONS, SOURCE_IDS, assert_differs, assert_same, normal, randomise, toy_model

from translator.model.layers import Layer


@pytest.mark.parametrize("place", ["dropout", "attention_dropout", "activation_dropout"])
def test_each_option_acts_in_training_alone(place: str) -> None:
    x, memory = normal(2, 5, 12), normal(2, 4, 12, seed=2)

    def run(layer: Layer) -> Tensor:
        torch.manual_seed(7)
        return layer(x, None, cross=layer.cross_attention.project(memory))

    plain = run(randomise(Layer(OPTIONS, cross=True)))
    layer = randomise(Layer(replace(OPTIONS, **{place: 0.5}), cross=True))
    assert_differs(run(layer), plain)
    assert_same(run(layer.eval()), plain)


def test_embeddings_with_their_positions_are_dropped_too() -> None:
    model = toy_model(replace(OPTIONS, dropout=0.5))
    expected = model.embed(SOURCE_IDS)
    torch.manual_seed(9)
    embedded = model.train().embed(SOURCE_IDS)
    dropped = embedded == 0
    assert dropped.any()
    assert_same(embedded[~dropped], 2 * expected[~dropped])
    assert_differs(embedded, 2 * expected)  # control: not everything was kept
