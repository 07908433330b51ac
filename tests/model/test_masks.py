"""Masks equal their truth tables; True means: may be looked at."""

from itertools import product

import pytest
import torch

from translator.model import masks
from translator.model.attention import attention_weights
from translator.model.masks import causal_mask, padding_mask
from translator.symbols import BOS, EOS, PAD, UNK

#: Every row of three ids from the special pieces and two ordinary ones.
IDS = torch.tensor(list(product([PAD, UNK, BOS, EOS, 4, 9], repeat=3)))


def test_padding_truth_table() -> None:
    mask = padding_mask(IDS)
    assert mask.dtype == torch.bool
    assert mask.shape == (len(IDS), 1, 1, 3)
    for row, ids in enumerate(IDS.tolist()):
        assert mask[row, 0, 0].tolist() == [i != PAD for i in ids]


@pytest.mark.parametrize("length", range(1, 7))
def test_causal_truth_table(length: int) -> None:
    mask = causal_mask(length)
    assert mask.dtype == torch.bool
    assert mask.shape == (1, 1, length, length)
    assert mask[0, 0].tolist() == [[key <= query for key in range(length)] for query in range(length)]


def test_both_truth_tables_together() -> None:
    mask = padding_mask(IDS) & causal_mask(3)
    assert mask.shape == (len(IDS), 1, 3, 3)
    for row, ids in enumerate(IDS.tolist()):
        for query, key in product(range(3), repeat=2):
            assert bool(mask[row, 0, query, key]) == (key <= query and ids[key] != PAD)


def test_true_means_may_be_looked_at() -> None:
    mask = torch.tensor([False, True, False])
    same = torch.ones(1, 1, 3, 2)
    assert attention_weights(same, same, mask)[0, 0].tolist() == [[0.0, 1.0, 0.0]] * 3
    # Control: the other polarity would hide just that key.
    assert attention_weights(same, same, ~mask)[0, 0].tolist() == [[0.5, 0.0, 0.5]] * 3


def test_the_names_before_still_work_with_a_notice() -> None:
    for name, new in (("causal_keep", "causal_mask"), ("padding_keep", "padding_mask")):
        with pytest.warns(FutureWarning, match=f"{name} is now called {new}"):
            assert getattr(masks, name) is getattr(masks, new)
    with pytest.raises(AttributeError, match="no attribute 'any_keep'"):
        masks.any_keep  # noqa: B018
