"""The CPU's attention is the plain one, in value and in gradient, for rows short and long."""

import pytest
import torch
from torch import Tensor

from translator.engine.attention import scaled_dot_product_attention, softmax
from translator.model.attention import attention_weights
from translator.model.masks import causal_mask

Case = tuple[list[Tensor], Tensor | None]


def case_of(name: str, dtype: torch.dtype = torch.float64) -> Case:
    torch.manual_seed(4)
    n_queries, n_keys = {"short": (3, 5), "long": (4, 19), "causal": (17, 17), "one query": (1, 7)}[name]
    shapes = [(2, 3, n_queries, 4), (2, 3, n_keys, 4), (2, 3, n_keys, 4)]
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
    if name == "one query":
        return inputs, None
    if name == "causal":
        return inputs, causal_mask(n_queries)
    mask = torch.ones(2, 1, 1, n_keys, dtype=torch.bool)
    mask[1, ..., 2:] = False
    return inputs, mask


def plain(inputs: list[Tensor], mask: Tensor | None) -> Tensor:
    query, key, value = inputs
    return attention_weights(query, key, mask) @ value


CASES = ["short", "long", "causal", "one query"]


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_are_those_of_the_plain_products(name: str) -> None:
    inputs, mask = case_of(name)
    ours, theirs = scaled_dot_product_attention(*inputs, mask), plain(inputs, mask)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(theirs)
    of_ours = torch.autograd.grad(ours, inputs, direction)
    of_theirs = torch.autograd.grad(theirs, inputs, direction)
    torch.testing.assert_close(of_ours, of_theirs)
    # Control: another direction has other gradients.
    of_other = torch.autograd.grad(plain(inputs, mask), inputs, direction + 1)
    assert not torch.allclose(of_ours[2], of_other[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_gradients_are_the_finite_differences(name: str) -> None:
    inputs, mask = case_of(name)
    assert torch.autograd.gradcheck(lambda *x: scaled_dot_product_attention(*x, mask), inputs)


@pytest.mark.parametrize("name", CASES)
def test_in_bfloat16_the_gradients_are_near_those_of_float32(name: str) -> None:
    inputs, mask = case_of(name, torch.float32)
    narrow = [x.detach().bfloat16().requires_grad_() for x in inputs]
    ours = torch.autograd.grad(scaled_dot_product_attention(*narrow, mask).float().square().sum(), narrow)
    theirs = torch.autograd.grad(plain(inputs, mask).square().sum(), inputs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == torch.bfloat16
        assert (mine.float() - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize("n_keys", [1, 2, 15, 16, 40])
def test_the_softmax_is_pytorchs(n_keys: int) -> None:
    scores = torch.randn(3, 4, n_keys) * 50
    scores[1, 2, 1:] = -torch.inf
    torch.testing.assert_close(softmax(scores), scores.softmax(-1))
    assert softmax(scores.bfloat16()).dtype == torch.float32
    assert not torch.allclose(softmax(scores + torch.randn_like(scores)), scores.softmax(-1)) or n_keys == 1
