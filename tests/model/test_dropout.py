"""Dropout: how much is dropped, what is kept, and where a layer has it.

Random tests are seeded. Their bounds are five standard deviations wide: with another seed, one in about
1.7 million would fail by chance.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toy_model import OPTIONS, SOURCE_IDS, assert_differs, assert_same, normal, randomise, toy_model
from translator.model.dropout import Dropout

from translator.model.layers import Layer

SIZE = 200_000


def share_dropped(probability: float, *, seed: int = 1) -> float:
    torch.manual_seed(seed)
    return float((Dropout(probability)(torch.ones(SIZE)) == 0).double().mean())


def is_share(share: float, expected: float) -> bool:
    deviation = (expected * (1 - expected) / SIZE) ** 0.5
    return abs(share - expected) < 5 * deviation


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_share_dropped_is_the_probability_in_256ths(probability: float) -> None:
    share, rounded = share_dropped(probability), round(256 * probability) / 256
    assert abs(rounded - probability) <= 1 / 512
    assert is_share(share, rounded)
    # Control: three 256ths more would be noticed.
    assert not is_share(share, rounded + 3 / 256)


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (3, 5, 11), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.ones(shape, dtype=dtype)
    result = Dropout(0.5)(x)
    assert result.shape == x.shape
    assert result.dtype == dtype
    assert ((result == 0) | (result == 2)).all()


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.999])
def test_what_is_kept_makes_up_for_the_share_dropped(probability: float) -> None:
    torch.manual_seed(8)
    kept = Dropout(probability)(torch.ones(SIZE, dtype=torch.float64))
    kept = kept[kept != 0]
    n_kept = max(256 - round(256 * probability), 1)  # of 256
    assert_same(kept, torch.full_like(kept, 256 / n_kept))
    # Control: the probability itself would not, it is rounded.
    assert_differs(kept, torch.full_like(kept, 1 / (1 - probability)))


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_mean_is_preserved(probability: float) -> None:
    torch.manual_seed(2)
    result = Dropout(probability)(torch.ones(SIZE, dtype=torch.float64))
    p = round(256 * probability) / 256
    bound = 5 * (p / (1 - p) / SIZE) ** 0.5
    assert abs(float(result.mean()) - 1) < bound
    # Control: unscaled, it is not.
    assert abs(float((result != 0).double().mean()) - 1) > bound


def test_values_are_dropped_independently() -> None:
    torch.manual_seed(3)
    dropped = (Dropout(0.5)(torch.ones(SIZE)) == 0).double() - 0.5
    for lag in (1, 2, 7, 8, 64):
        correlation = float((dropped[lag:] * dropped[:-lag]).mean()) * 4
        assert abs(correlation) < 5 / SIZE**0.5


def test_identity_when_evaluating_or_without_probability() -> None:
    x = normal(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert not torch.equal(Dropout(0.5)(x), x)  # control: while training it is none


def test_seed_decides() -> None:
    x, dropout = torch.ones(1000), Dropout(0.5)
    torch.manual_seed(4)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(4)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(second, first)


def test_gradient_flows_through_what_is_kept_only() -> None:
    torch.manual_seed(5)
    x = normal(50, 7).requires_grad_()
    result = Dropout(0.25)(x)
    result.sum().backward()
    expected = (result != 0).double() / 0.75
    assert 0 < int((result == 0).sum()) < x.numel()
    assert_same(x.grad, expected)
    assert_differs(x.grad, expected.roll(1, 0))  # control: another mask's gradient


def test_nearly_everything_can_be_dropped() -> None:
    torch.manual_seed(6)
    result = Dropout(0.999)(torch.ones(SIZE))
    assert is_share(float((result == 0).double().mean()), 255 / 256)
    assert result.isfinite().all()


def test_shows_its_probability() -> None:
    assert repr(Dropout(0.25)) == "Dropout(0.25)"


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
