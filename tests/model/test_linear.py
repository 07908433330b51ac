"""Packed linear maps: what the precision promises, on whatever CPU the tests run."""

import pytest
import torch
from marks import needs_bfloat16

from translator.model import linear
from translator.model.layers import ACTIVATIONS


@pytest.mark.parametrize("rows", [1, 5, 200])
def test_int8_does_not_overflow(rows: int) -> None:
    # The largest products there are: without 32-bit sums, 8 bits by 8 bits would lose half of them.
    multiply = linear.linear(torch.ones(linear.MANY_OUTPUTS, 64), precision="int8")
    torch.testing.assert_close(
        multiply(torch.ones(rows, 64)), torch.full((rows, 1000), 64.0), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("n_outputs", [8, linear.MANY_OUTPUTS])
def test_what_the_cpu_does_not_multiply_is_not_tried(n_outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(linear, "_bfloat16", None)
    x, weight, bias = torch.randn(100, 64), torch.randn(n_outputs, 64), torch.randn(n_outputs)
    exact = linear.linear(weight, bias)(x)
    assert torch.equal(linear.linear(weight, bias, precision="bfloat16")(x), exact)
    near = linear.linear(weight, bias, precision="int8")(x)
    assert torch.equal(near, exact) == (n_outputs < linear.MANY_OUTPUTS)


@torch.no_grad()
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS.values()])
@pytest.mark.parametrize("n_outputs", [8, linear.MANY_OUTPUTS])
@pytest.mark.parametrize("rows", [3, linear.MANY_ROWS])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16), "int8"])
def test_what_follows_a_product_is_the_same_in_it(
    precision: linear.Precision, rows: int, n_outputs: int, activation: linear.Map | None
) -> None:
    x, weight, bias = torch.randn(rows, 64), torch.randn(n_outputs, 64), torch.randn(n_outputs)
    onto = torch.randn(rows, n_outputs)
    alone = linear.linear(weight, bias, precision=precision)(x)
    expected = alone if activation is None else activation(alone)
    multiply = linear.linear(weight, bias, precision=precision, activation=activation)
    torch.testing.assert_close(multiply(x), expected)
    torch.testing.assert_close(multiply(x, onto), onto + expected)
