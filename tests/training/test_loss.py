"""The loss is PyTorch's label-smoothed cross-entropy, in value and in gradient."""

import pytest
import torch
from torch.nn import functional as F

from translator.training.loss import token_loss

N, V = 7, 11


def examples(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return (torch.randn(N, V, dtype=torch.float64) * 4).to(dtype), torch.randint(0, V, (N,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 0.99])
def test_value_and_gradient_are_those_of_cross_entropy(smoothing: float) -> None:
    logits, targets = examples()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    smoothed, plain = token_loss(ours, targets, smoothing)
    expected = F.cross_entropy(theirs, targets, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(smoothed, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(plain, F.cross_entropy(logits, targets, reduction="sum"))
    (smoothed * 0.3).backward()
    (expected * 0.3).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)


def test_control_another_smoothing_has_another_value_and_gradient() -> None:
    logits, targets = examples()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    smoothed, _ = token_loss(ours, targets, 0.1)
    other = F.cross_entropy(theirs, targets, label_smoothing=0.11, reduction="sum")
    smoothed.backward()
    other.backward()
    assert not torch.allclose(smoothed, other)
    assert not torch.allclose(ours.grad, theirs.grad)


def test_the_gradient_is_the_finite_difference() -> None:
    logits, targets = examples()
    assert torch.autograd.gradcheck(lambda x: token_loss(x, targets, 0.1)[0], logits.requires_grad_())


def test_only_the_smoothed_loss_has_a_gradient() -> None:
    logits, targets = examples()
    smoothed, plain = token_loss(logits.requires_grad_(), targets, 0.0)
    assert smoothed.requires_grad
    assert not plain.requires_grad
    torch.testing.assert_close(smoothed.detach(), plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_logits_are_summed_in_float32(dtype: torch.dtype) -> None:
    logits, targets = examples(dtype)
    ours, theirs = logits.clone().requires_grad_(), logits.float().requires_grad_()
    smoothed, plain = token_loss(ours, targets, 0.1)
    expected = F.cross_entropy(theirs, targets, label_smoothing=0.1, reduction="sum")
    assert smoothed.dtype == plain.dtype == torch.float32
    torch.testing.assert_close(smoothed, expected)
    smoothed.backward()
    expected.backward()
    assert ours.grad is not None
    assert ours.grad.dtype == dtype
    torch.testing.assert_close(ours.grad, theirs.grad.to(dtype))  # type: ignore[union-attr]


def test_large_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    smoothed, plain = token_loss(logits, torch.tensor([2]), 0.1)
    smoothed.backward()
    assert plain.item() == 2e4
    assert torch.isfinite(smoothed)
    assert torch.isfinite(logits.grad).all()
