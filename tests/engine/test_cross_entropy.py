"""The loss is PyTorch's label-smoothed cross-entropy of the logits, in value and in gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from translator.engine import cross_entropy as module
from translator.engine.cross_entropy import cross_entropy

N, D, V = 7, 5, 11


def examples(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    states, weight = torch.randn(N, D, dtype=dtype) * 2, torch.randn(V, D, dtype=dtype) * 2
    return states.requires_grad_(), weight.requires_grad_(), torch.randint(0, V, (N,))


def reference(
    states: Tensor, weight: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    value = F.cross_entropy(states @ weight.t(), targets, label_smoothing=smoothing, reduction="sum")
    return value, torch.autograd.grad(value * 0.3, (states, weight))


@pytest.fixture(params=[512, 3])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All rows in one chunk, or several chunks and a rest."""
    monkeypatch.setattr(module, "CHUNK", request.param)
    return int(request.param)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 0.99])
def test_value_and_gradients_are_those_of_cross_entropy(smoothing: float) -> None:
    states, weight, targets = examples()
    smoothed, nll = cross_entropy(states, weight, targets, smoothing)
    ours = torch.autograd.grad(smoothed * 0.3, (states, weight))
    expected, theirs = reference(states, weight, targets, smoothing)
    torch.testing.assert_close(smoothed, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(nll, F.cross_entropy(states @ weight.t(), targets, reduction="sum"))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_control_another_smoothing_has_another_value_and_gradient() -> None:
    states, weight, targets = examples()
    smoothed, _ = cross_entropy(states, weight, targets, 0.1)
    ours = torch.autograd.grad(smoothed * 0.3, (states, weight))
    other, theirs = reference(states, weight, targets, 0.11)
    assert not torch.allclose(smoothed, other)
    assert not torch.allclose(ours[0], theirs[0])
    assert not torch.allclose(ours[1], theirs[1])


@pytest.mark.usefixtures("chunk")
def test_the_gradient_is_the_finite_difference() -> None:
    states, weight, targets = examples()
    assert torch.autograd.gradcheck(lambda x, w: cross_entropy(x, w, targets, 0.1)[0], (states, weight))


def test_only_the_smoothed_loss_has_a_gradient() -> None:
    states, weight, targets = examples()
    smoothed, nll = cross_entropy(states, weight, targets, 0.0)
    assert smoothed.requires_grad
    assert not nll.requires_grad
    torch.testing.assert_close(smoothed.detach(), nll)


def test_without_gradients_the_value_is_the_same() -> None:
    states, weight, targets = examples()
    with torch.no_grad():
        values = cross_entropy(states, weight, targets, 0.1)
    torch.testing.assert_close(values, cross_entropy(states, weight, targets, 0.1))
    assert not values[0].requires_grad


def test_under_autocast_products_are_narrow_and_sums_are_not() -> None:
    states, weight, targets = examples(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        smoothed, nll = cross_entropy(states, weight, targets, 0.1)
        narrow = (states @ weight.t()).detach()
    assert narrow.dtype == torch.bfloat16
    assert smoothed.dtype == nll.dtype == torch.float32
    torch.testing.assert_close(nll, F.cross_entropy(narrow.float(), targets, reduction="sum"))
    ours = torch.autograd.grad(smoothed * 0.3, (states, weight))
    _, theirs = reference(states, weight, targets, 0.1)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - other).norm() < 0.01 * other.norm()


def test_large_logits_stay_finite() -> None:
    states = torch.ones(1, 1, requires_grad=True)
    weight = torch.tensor([[1e4], [0.0], [-1e4]], requires_grad=True)
    smoothed, nll = cross_entropy(states, weight, torch.tensor([2]), 0.1)
    smoothed.backward()
    assert nll.item() == 2e4
    assert torch.isfinite(smoothed)
    assert torch.isfinite(states.grad).all()
    assert torch.isfinite(weight.grad).all()
