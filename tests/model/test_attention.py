"""Attention against PyTorch's in each role, and what must never reach its result."""

import re
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_model import assert_differs, assert_same, copy_attention, normal, randomise

from translator.model.attention import Attention, attention_weights
from translator.model.masks import causal_mask, padding_mask

WIDTH, HEADS, MEMORY_WIDTH = 12, 3, 20
SOURCE = torch.tensor([[5, 6, 7, 8, 3], [9, 4, 3, 0, 0], [3, 0, 0, 0, 0]])
LONGER = torch.tensor([[5, 6, 7, 8, 9, 9, 3], [9, 4, 3, 0, 0, 0, 0], [5, 5, 5, 5, 3, 0, 0]])

ROLES = ["encoder", "decoder", "cross", "cross, other width"]


class Case(NamedTuple):
    """An attention in one of its roles, with something to read and PyTorch's own answer to it."""

    attention: Attention
    query: Tensor  # (3, 5, D)
    memory: Tensor  # (3, K, M)
    mask: Tensor
    expected: Tensor  # (3, 5, D)
    expected_weights: Tensor  # (3, H, 5, K)

    def attend(self, maps: list[Tensor] | None = None) -> Tensor:
        kv = self.attention.project(self.memory)
        return self.attention(self.query, kv, self.mask, maps=maps)


def case_of(role: str) -> Case:
    memory_width = MEMORY_WIDTH if role == "cross, other width" else WIDTH
    ours = randomise(Attention(WIDTH, HEADS, memory_width=memory_width))
    theirs = nn.MultiheadAttention(WIDTH, HEADS, kdim=memory_width, vdim=memory_width, batch_first=True)
    copy_attention(ours, theirs.double())
    query = normal(3, 5, WIDTH)
    if role == "encoder":
        memory, mask = query, padding_mask(SOURCE)
    elif role == "decoder":
        memory, mask = query, causal_mask(5)
    else:
        memory, mask = normal(3, 7, memory_width, seed=2), padding_mask(LONGER)
    hide = {"attn_mask": ~mask[0, 0]} if role == "decoder" else {"key_padding_mask": ~mask[:, 0, 0]}
    expected, weights = theirs(query, memory, memory, average_attn_weights=False, **hide)
    return Case(ours, query, memory, mask, expected, weights)


@pytest.mark.parametrize("role", ROLES)
def test_result_and_weights_are_those_of_torch(role: str) -> None:
    case, maps = case_of(role), []
    assert_same(case.attend(), case.expected)
    case.attend(maps)
    assert len(maps) == 1
    assert_same(maps[0], case.expected_weights)


@pytest.mark.parametrize("damage", ["a weight", "a bias", "a mask bit", "heads", "keys for values"])
@pytest.mark.parametrize("role", ROLES)
@torch.no_grad()
def test_control_damage_is_seen(role: str, damage: str) -> None:
    case = case_of(role)
    key_value = case.attention.key_value
    match damage:
        case "a weight":
            key_value.weight[0, 0] += 1e-3
        case "a bias":
            case.attention.query.bias[0] += 1e-3
        case "a mask bit":
            case.mask[0, 0, -1, 0] = False
        case "heads":
            case.attention.n_heads = 2
        case "keys for values":
            key_value.weight.copy_(key_value.weight.roll(WIDTH, 0))
    assert_differs(case.attend(), case.expected)


@pytest.mark.parametrize("role", ROLES)
def test_recorded_weights_sum_to_one_and_are_zero_where_hidden(role: str) -> None:
    case, maps = case_of(role), []
    case.attend(maps)
    weights = maps[0]
    assert weights.shape == (3, HEADS, 5, case.memory.size(1))
    assert_same(weights.sum(-1), torch.ones(3, HEADS, 5, dtype=torch.float64))
    hidden = ~case.mask.expand_as(weights)
    assert hidden.any()
    assert weights[hidden].eq(0).all()
    assert weights[~hidden].gt(0).all()


@pytest.mark.parametrize("role", ROLES)
def test_recording_changes_nothing(role: str) -> None:
    case, maps = case_of(role), []
    torch.testing.assert_close(case.attend(maps), case.attend())
    # What was recorded is what was used: with the values it gives the result.
    value = case.attention.project(case.memory).value
    again = case.attention.output((maps[0] @ value).transpose(1, 2).flatten(2))
    assert_same(again, case.expected)
    # Control: with the heads' weights exchanged it does not.
    mixed = maps[0].roll(1, dims=1) @ value
    assert_differs(case.attention.output(mixed.transpose(1, 2).flatten(2)), case.expected)


def test_weights_are_recorded_before_dropout() -> None:
    case = case_of("encoder")
    case.attention.dropout.p = 0.5
    case.attention.train()
    maps: list[Tensor] = []
    torch.manual_seed(1)
    recorded = case.attend(maps)
    torch.manual_seed(1)
    assert torch.equal(recorded, case.attend())
    assert_same(maps[0], case.expected_weights)
    # Control: dropout did act on the result.
    assert_differs(recorded, case.expected)


@pytest.mark.parametrize("role", ROLES)
def test_fused_kernel_agrees(role: str) -> None:
    case = case_of(role)
    attention = case.attention
    q = attention.query(case.query).unflatten(2, (HEADS, -1)).transpose(1, 2)
    kv = attention.project(case.memory)

    def fused(mask: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(q, *kv, attn_mask=mask)
        return attention.output(mixed.transpose(1, 2).flatten(2))

    assert_same(case.attend(), fused(case.mask))
    # Control: the kernel sees a flipped bit.
    mask = case.mask.clone()
    mask[0, 0, -1, 0] = False
    assert_differs(case.attend(), fused(mask))


@pytest.mark.parametrize("role", ["encoder", "cross", "cross, other width"])
def test_garbage_in_hidden_keys_is_invisible(role: str) -> None:
    case = case_of(role)
    real = case.mask[:, 0, 0, :, None]  # (B, K, 1)
    garbage = 1e6 * normal(*case.memory.shape, seed=7)
    spoilt = torch.where(real, case.memory, garbage)
    kv = case.attention.project(spoilt)
    assert_same(case.attention(case.query, kv, case.mask), case.expected)
    # Control: where a key is real, it shows.
    spoilt[0, 0] += 1e-3
    kv = case.attention.project(spoilt)
    assert_differs(case.attention(case.query, kv, case.mask), case.expected)


@pytest.mark.parametrize("changed", range(1, 5))
def test_the_future_changes_nothing_earlier(changed: int) -> None:
    case = case_of("decoder")
    x = case.query.clone()
    x[:, changed:] = 1e3 * normal(3, 5 - changed, WIDTH, seed=7)
    later = case.attention(x, case.attention.project(x), case.mask)
    assert_same(later[:, :changed], case.expected[:, :changed])
    # Control: without the mask it does.
    everywhere = case.attention(x, case.attention.project(x))
    assert_differs(everywhere[:, :changed], case.expected[:, :changed])


def test_no_mask_is_a_mask_of_true() -> None:
    case = case_of("encoder")
    kv = case.attention.project(case.memory)
    everything = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    assert_same(case.attention(case.query, kv), case.attention(case.query, kv, everything))
    assert_differs(case.attention(case.query, kv), case.attention(case.query, kv, case.mask))


def test_weights_are_softmax_of_scaled_products() -> None:
    query, key = normal(2, HEADS, 3, 4), normal(2, HEADS, 5, 4, seed=2)
    scores = torch.einsum("bhqe,bhke->bhqk", query, key) / 4**0.5
    expected = scores.exp() / scores.exp().sum(-1, keepdim=True)
    assert_same(attention_weights(query, key, None), expected)
    assert_differs(attention_weights(query * 2, key, None), expected)


def test_errors_name_both_numbers() -> None:
    with pytest.raises(ValueError, match=re.escape("width=10 is not a multiple of n_heads=4")):
        Attention(10, 4)
    attention = Attention(WIDTH, HEADS, memory_width=MEMORY_WIDTH)
    with pytest.raises(ValueError, match=re.escape("memory is 12 wide, this attention reads 20")):
        attention.project(torch.zeros(1, 2, 12))
    kv = attention.project(torch.zeros(1, 2, MEMORY_WIDTH))
    with pytest.raises(ValueError, match=re.escape("query is 20 wide, this attention reads 12")):
        attention(torch.zeros(1, 2, 20), kv)
