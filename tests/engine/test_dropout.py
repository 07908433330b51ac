"""The engines' dropout: how much is dropped, what is kept, and where random numbers come from.

Random tests are seeded. Their bounds are five standard deviations wide: with another seed, one in about
1.7 million would fail by chance.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toy_model import OPTIONS, SOURCE_IDS, TARGET_IN, assert_differs, assert_same, normal, toy_model

from translator.engine.ops import DropoutRNG, Ops
from translator.engine.packing import PackedLayout
from translator.engine.training import TrainingEngine
from translator.model.transformer import Transformer
from translator.symbols import PAD

SIZE = 200_000


def dropout(x: Tensor, probability: float, rng: DropoutRNG | None = None) -> Tensor:
    return Ops().dropout(x, probability, rng or DropoutRNG())


def share_dropped(probability: float, *, seed: int = 1) -> float:
    torch.manual_seed(seed)
    return float((dropout(torch.ones(SIZE), probability) == 0).double().mean())


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
    result = dropout(x, 0.5)
    assert result.shape == x.shape
    assert result.dtype == dtype
    assert ((result == 0) | (result == 2)).all()


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.999])
def test_what_is_kept_makes_up_for_the_share_dropped(probability: float) -> None:
    torch.manual_seed(8)
    kept = dropout(torch.ones(SIZE, dtype=torch.float64), probability)
    kept = kept[kept != 0]
    n_kept = max(256 - round(256 * probability), 1)  # of 256
    assert_same(kept, torch.full_like(kept, 256 / n_kept))
    # Control: the probability itself would not, it is rounded.
    assert_differs(kept, torch.full_like(kept, 1 / (1 - probability)))


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_mean_is_preserved(probability: float) -> None:
    torch.manual_seed(2)
    result = dropout(torch.ones(SIZE, dtype=torch.float64), probability)
    p = round(256 * probability) / 256
    bound = 5 * (p / (1 - p) / SIZE) ** 0.5
    assert abs(float(result.mean()) - 1) < bound
    # Control: unscaled, it is not.
    assert abs(float((result != 0).double().mean()) - 1) > bound


def test_values_are_dropped_independently() -> None:
    torch.manual_seed(3)
    dropped = (dropout(torch.ones(SIZE), 0.5) == 0).double() - 0.5
    for lag in (1, 2, 7, 8, 64):
        correlation = float((dropped[lag:] * dropped[:-lag]).mean()) * 4
        assert abs(correlation) < 5 / SIZE**0.5


def test_identity_without_probability() -> None:
    x = normal(3, 4)
    assert dropout(x, 0.0) is x
    assert not torch.equal(dropout(x, 0.5), x)


def test_seed_decides() -> None:
    x = torch.ones(1000)
    torch.manual_seed(4)
    first, second = dropout(x, 0.5), dropout(x, 0.5)
    torch.manual_seed(4)
    assert torch.equal(dropout(x, 0.5), first)
    assert not torch.equal(second, first)


def test_a_generator_is_drawn_from_in_place_of_the_global_one() -> None:
    x = torch.ones(1000)
    rng = DropoutRNG(torch.Generator().manual_seed(4))
    before = torch.get_rng_state()
    first = dropout(x, 0.5, rng)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(dropout(x, 0.5, DropoutRNG(torch.Generator().manual_seed(4))), first)
    assert not torch.equal(dropout(x, 0.5, rng), first)


def test_masks_are_what_the_input_was_multiplied_by() -> None:
    x, rng = normal(50, 7), DropoutRNG(masks=[])
    results = [dropout(x, 0.25, rng), dropout(x, 0.5, rng)]
    assert rng.masks is not None
    assert len(rng.masks) == 2
    for result, mask in zip(results, rng.masks, strict=True):
        assert torch.equal(result, x * mask)


def test_gradient_flows_through_what_is_kept_only() -> None:
    torch.manual_seed(5)
    x = normal(50, 7).requires_grad_()
    result = dropout(x, 0.25)
    result.sum().backward()
    expected = (result != 0).double() / 0.75
    assert 0 < int((result == 0).sum()) < x.numel()
    assert_same(x.grad, expected)
    assert_differs(x.grad, expected.roll(1, 0))  # control: another mask's gradient


def test_nearly_everything_can_be_dropped() -> None:
    torch.manual_seed(6)
    result = dropout(torch.ones(SIZE), 0.999)
    assert is_share(float((result == 0).double().mean()), 255 / 256)
    assert result.isfinite().all()


@pytest.mark.parametrize("place", ["dropout", "attention_dropout", "activation_dropout"])
def test_each_option_acts_in_training_alone(place: str) -> None:
    def states(model: Transformer) -> Tensor:
        torch.manual_seed(7)
        return TrainingEngine(model, Ops()).states(SOURCE_IDS, TARGET_IN)

    n = int((TARGET_IN != PAD).sum())
    plain = states(toy_model())[:n]
    model = toy_model(replace(OPTIONS, **{place: 0.5}))
    assert_same(states(model)[:n], plain)
    assert_differs(states(model.train())[:n], plain)


def test_embeddings_with_their_positions_are_dropped_too() -> None:
    """And of both sides."""
    model = toy_model(replace(OPTIONS, dropout=0.5)).train()
    engine = TrainingEngine(model, Ops())
    engine.rng.masks = []
    engine.states(SOURCE_IDS, TARGET_IN)
    n_sublayers = 2 * 2 + 3 * 3
    assert len(engine.rng.masks) == 1 + n_sublayers
    n_rows = sum(len(PackedLayout.from_mask(ids != PAD).indices) for ids in (SOURCE_IDS, TARGET_IN))
    assert engine.rng.masks[0].shape == (n_rows, OPTIONS.width)
    assert 0 < int((engine.rng.masks[0] == 0).sum()) < engine.rng.masks[0].numel()
