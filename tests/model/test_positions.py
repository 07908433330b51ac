"""Positions equal their closed form, whatever the length, wherever reading begins."""

import math

import pytest
import torch
from torch import Tensor
from toy_model import SOURCE_IDS, TARGET_IN, assert_differs, assert_same, toy_model

from translator.model.positions import sinusoids


def closed_form(length: int, width: int) -> Tensor:
    """[sin | cos] halves, in float64."""

    def angle(position: int, column: int) -> float:
        return position / 10000 ** (2 * column / width)

    half = range(width // 2)
    return torch.tensor(
        [
            [math.sin(angle(p, j)) for j in half] + [math.cos(angle(p, j)) for j in half]
            for p in range(length)
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize(("length", "width"), [(1, 2), (64, 16), (64, 30), (50, 128)])
def test_closed_form(length: int, width: int) -> None:
    table = sinusoids(length, width)
    assert table.dtype == torch.float32
    assert_same(table.double(), closed_form(length, width), 1e-5)


def test_control_interleaved_or_shifted_is_no_match() -> None:
    table, expected = sinusoids(64, 16).double(), closed_form(65, 16)
    interleaved = table.unflatten(1, (2, 8)).transpose(1, 2).flatten(1)
    assert_differs(interleaved, expected[:64], 1e-5)
    assert_differs(table, expected[1:], 1e-5)


def test_input_longer_than_the_table() -> None:
    short, long = toy_model(max_length=3), toy_model(max_length=64)
    assert SOURCE_IDS.size(1) > 3
    assert TARGET_IN.size(1) > 3
    assert_same(short(SOURCE_IDS, TARGET_IN), long(SOURCE_IDS, TARGET_IN))
    # Control: positions of another place are seen.
    short.positions = sinusoids(65, short.positions.size(1))[1:].double()
    assert_differs(short(SOURCE_IDS, TARGET_IN), long(SOURCE_IDS, TARGET_IN))


def test_embeddings_are_scaled_by_the_root_of_the_width() -> None:
    model = toy_model()
    table = closed_form(SOURCE_IDS.size(1), 12)
    expected = model.embedding.weight[SOURCE_IDS] * math.sqrt(12) + table
    assert_same(model.embed(SOURCE_IDS), expected, 1e-6)
    assert_differs(model.embed(SOURCE_IDS), model.embedding.weight[SOURCE_IDS] + table, 1e-6)
