"""Packed linear maps: what the precision promises, on whatever CPU the tests run."""

import pytest
import torch
from marks import needs_bfloat16
from torch import nn
from torch.nn import functional as F

from translator.model import linear
from translator.model.layers import ACTIVATIONS, FeedForward, LayerOptions, Stack


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


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
    alone, near = linear.linear(weight, bias, precision=precision)(x), {}
    is_narrow = precision != "float32" and linear.nearest("bfloat16", "cpu") == "bfloat16"
    if is_narrow and rows >= linear.MANY_ROWS and n_outputs < linear.MANY_OUTPUTS:
        # Sums and the activation are in float32, and only their result is rounded, by 2 ** -9 at most.
        alone = F.linear(*(each.bfloat16().float() for each in (x, weight, bias)))
        near = {"rtol": 2**-8, "atol": 1e-4}
    multiply = linear.linear(weight, bias, precision=precision, activation=activation)
    result = multiply(x)
    torch.testing.assert_close(result, alone if activation is None else activation(alone), **near)
    torch.testing.assert_close(multiply(x, onto), onto + result)


@torch.no_grad()
@pytest.mark.parametrize("activation", ACTIVATIONS.values())
@pytest.mark.parametrize("rows", [3, linear.MANY_ROWS])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16), "int8"])
def test_a_feed_forward_sublayer_is_its_two_maps(
    precision: linear.Precision, rows: int, activation: linear.Map
) -> None:
    inner, outer = nn.Linear(64, 256), nn.Linear(256, 64)
    x, onto = torch.randn(rows, 64), torch.randn(rows, 64)
    expected = outer(activation(inner(x)))
    both = linear.feed_forward(inner, outer, activation, precision)
    is_narrow = linear.nearest("bfloat16", "cpu") == "bfloat16" and precision != "float32"
    near = {"rtol": 0.0, "atol": 0.02} if is_narrow and rows >= linear.MANY_ROWS else {}
    for result, exact in ((both(x), expected), (both(x, onto), onto + expected)):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, exact, **near)


def test_what_stays_narrow_is_not_widened() -> None:
    weight, x = torch.randn(8, 64), torch.randn(linear.MANY_ROWS, 64)
    result = linear.linear(weight, precision="bfloat16", stays_narrow=True)(x)
    narrow = torch.float32 if linear.nearest("bfloat16", "cpu") == "float32" else torch.bfloat16
    assert result.dtype == narrow


@torch.no_grad()
def test_packing_leaves_the_module_as_it_was_and_no_plain_map_in_the_copy() -> None:
    options = LayerOptions(width=64, n_heads=4, feed_forward=256)
    stack = Stack(options, 2).eval()
    before = stack.state_dict()
    packed = linear.pack(stack, "float32")
    assert not [part for part in packed.modules() if isinstance(part, (nn.Linear, FeedForward))]
    x = torch.randn(4, 20, 64)
    torch.testing.assert_close(packed(x, None), stack(x, None))
    assert before.keys() == stack.state_dict().keys()
