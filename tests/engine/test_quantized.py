"""Prepacked linear maps: what the precision promises, on whatever CPU the tests run."""

import pytest
import torch
from marks import needs_bfloat16
from torch import Tensor, nn
from torch.nn import functional as F

from translator.engine import quantized
from translator.engine.decoding import DecodingEngine
from translator.model.layers import ACTIVATIONS, LayerOptions
from translator.model.transformer import Transformer


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("rows", [1, 5, 200])
def test_int8_does_not_overflow(rows: int) -> None:
    # The largest products there are: without 32-bit sums, 8 bits by 8 bits would lose half of them.
    multiply = quantized.linear(torch.ones(quantized.MANY_OUTPUTS, 64), precision="int8")
    torch.testing.assert_close(
        multiply(torch.ones(rows, 64)), torch.full((rows, 1000), 64.0), rtol=1e-3, atol=0
    )


def test_int8_has_a_scale_for_each_row() -> None:
    """One for all would round a row of small numbers, beside one of large ones, to nothing."""
    weight = torch.randn(quantized.MANY_OUTPUTS, 64)
    x = torch.randn(3, 64) * torch.tensor([[1e3], [1.0], [1e-3]])
    found, exact = quantized.linear(weight, precision="int8")(x), x @ weight.t()
    error = (found - exact).norm(dim=1) / exact.norm(dim=1)
    assert (error < 0.05).all()


@pytest.mark.parametrize("n_outputs", [8, quantized.MANY_OUTPUTS])
def test_what_the_cpu_does_not_multiply_is_not_tried(n_outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(quantized, "_bfloat16", None)
    x, weight, bias = torch.randn(100, 64), torch.randn(n_outputs, 64), torch.randn(n_outputs)
    exact = quantized.linear(weight, bias)(x)
    assert torch.equal(quantized.linear(weight, bias, precision="bfloat16")(x), exact)
    near = quantized.linear(weight, bias, precision="int8")(x)
    assert torch.equal(near, exact) == (n_outputs < quantized.MANY_OUTPUTS)


@torch.no_grad()
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS.values()])
@pytest.mark.parametrize("n_outputs", [8, quantized.MANY_OUTPUTS])
@pytest.mark.parametrize("rows", [3, quantized.MANY_ROWS])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16), "int8"])
def test_what_follows_a_product_is_the_same_in_it(
    precision: quantized.Precision, rows: int, n_outputs: int, activation: quantized.Map | None
) -> None:
    x, weight, bias = torch.randn(rows, 64), torch.randn(n_outputs, 64), torch.randn(n_outputs)
    residual = torch.randn(rows, n_outputs)
    alone, near = quantized.linear(weight, bias, precision=precision)(x), {}
    is_narrow = precision != "float32" and quantized.nearest("bfloat16", "cpu") == "bfloat16"
    if is_narrow and rows >= quantized.MANY_ROWS and n_outputs < quantized.MANY_OUTPUTS:
        # Sums and the activation are in float32, and only their result is rounded, by 2 ** -9 at most.
        alone = F.linear(*(each.bfloat16().float() for each in (x, weight, bias)))
        near = {"rtol": 2**-8, "atol": 1e-4}
    multiply = quantized.linear(weight, bias, precision=precision, activation=activation)
    result = multiply(x)
    torch.testing.assert_close(result, alone if activation is None else activation(alone), **near)
    torch.testing.assert_close(multiply(x, residual), residual + result)


@torch.no_grad()
@pytest.mark.parametrize("activation", ACTIVATIONS.values())
@pytest.mark.parametrize("rows", [3, quantized.MANY_ROWS])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16), "int8"])
def test_a_feed_forward_sublayer_is_its_two_maps(
    precision: quantized.Precision, rows: int, activation: quantized.Map
) -> None:
    inner, outer = nn.Linear(64, 256), nn.Linear(256, 64)
    x, residual = torch.randn(rows, 64), torch.randn(rows, 64)
    expected = outer(activation(inner(x)))
    both = quantized.feed_forward(inner, outer, activation, precision)
    is_narrow = quantized.nearest("bfloat16", "cpu") == "bfloat16" and precision != "float32"
    near = {"rtol": 0.0, "atol": 0.02} if is_narrow and rows >= quantized.MANY_ROWS else {}
    for result, exact in ((both(x), expected), (both(x, residual), residual + expected)):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, exact, **near)


def test_what_keep_bf16_is_not_widened() -> None:
    weight, x = torch.randn(8, 64), torch.randn(quantized.MANY_ROWS, 64)
    result = quantized.linear(weight, precision="bfloat16", keep_bf16=True)(x)
    narrow = torch.float32 if quantized.nearest("bfloat16", "cpu") == "float32" else torch.bfloat16
    assert result.dtype == narrow


@torch.no_grad()
@pytest.mark.parametrize("n_outputs", [8, quantized.MANY_OUTPUTS])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_done_to_a_weight_later_is_not_seen(
    dtype: torch.dtype, precision: quantized.Precision, n_outputs: int
) -> None:
    weight, bias = torch.randn(n_outputs, 64, dtype=dtype), torch.randn(n_outputs, dtype=dtype)
    multiply = quantized.linear(weight, bias, precision=precision)
    inputs = [torch.randn(shape, dtype=dtype) for shape in ((3, 64), (quantized.MANY_ROWS, 64), (2, 1, 64))]
    before = [multiply(x) for x in inputs]
    for part in (weight, bias):
        part.fill_(torch.nan)
    assert all(torch.equal(multiply(x), y) for x, y in zip(inputs, before, strict=True))


@torch.no_grad()
def test_an_engine_leaves_the_model_as_it_was_and_keeps_its_weights() -> None:
    options = LayerOptions(width=64, n_heads=4, feed_forward=256)
    torch.manual_seed(1)
    model = Transformer(30, options, n_encoder_layers=2, n_decoder_layers=1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    source_ids = torch.randint(4, 30, (4, 20))
    expected = model(source_ids, source_ids[:, :1])[:, 0]
    engine = DecodingEngine(model)

    def first_logits() -> Tensor:
        return engine.step(source_ids[:, :1], engine.start(engine.encode(source_ids)))[:, 0]

    torch.testing.assert_close(engine.encode(source_ids).states, model.encode(source_ids).states)
    torch.testing.assert_close(first_logits(), expected)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for weight in model.parameters():
        weight.fill_(torch.nan)
    torch.testing.assert_close(first_logits(), expected)
