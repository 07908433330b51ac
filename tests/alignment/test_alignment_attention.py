"""Attention between tokens becomes attention between words, and then links."""

import pytest
import torch
from torch import Tensor

from translator.alignment.attention import (
    MIN_WEIGHT,
    links_of,
    token_links,
    token_weights,
    word_attention,
    word_similarity,
    word_spans,
)
from translator.alignment.words import words


def test_words_are_found_where_they_stand() -> None:
    text = "  L'eau \u00a0dort-elle ?"
    assert [text[start:end] for start, end in word_spans(words(text), text)] == words(text)
    with pytest.raises(ValueError, match="substring not found"):
        word_spans(["eau", "feu"], text)


def test_a_piece_belongs_to_its_words_by_characters() -> None:
    spans = [(0, 2), (2, 5), (7, 8)]  # L' eau, two spaces, ?
    pieces = [(0, 0), (0, 1), (1, 5), (5, 6), (6, 8), (7, 8), (7, 8)]
    expected = [[0, 0, 0], [1, 0, 0], [1 / 4, 3 / 4, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert torch.allclose(token_weights(pieces, spans), torch.tensor(expected))
    assert token_weights([], spans).shape == (0, 3)


def gathered() -> tuple[Tensor, Tensor, Tensor]:
    """Attention of 3 target pieces (2 words) to 4 source pieces (2 words), and the shares of both."""
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.3], [0.5, 0.1, 0.1, 0.1], [0.0, 0.0, 0.2, 0.7]])
    return attention, token_weights([(0, 1), (1, 2), (2, 4), (4, 5)], [(0, 3), (3, 5)]), TARGET


TARGET = token_weights([(0, 1), (1, 2), (3, 5)], [(0, 2), (3, 5)])


def test_gathering_sums_over_source_pieces_and_averages_over_target_pieces() -> None:
    attention, source, target = gathered()
    # The third source piece is half of either word.
    expected = [[(0.1 + 0.2 + 0.15 + 0.5 + 0.1 + 0.05) / 2, (0.15 + 0.3 + 0.05 + 0.1) / 2], [0.1, 0.8]]
    assert torch.allclose(word_attention(attention, source, target), torch.tensor(expected))


def test_gathering_loses_nothing() -> None:
    attention = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)).softmax(-1)
    _, source, target = gathered()
    assert torch.allclose(word_attention(attention, source, target).sum(1), torch.ones(2))


def links_by_attention(attention: Tensor, end: Tensor) -> list[tuple[int, int]]:
    """The links of words that are all equally similar."""
    return links_of(attention, end, torch.zeros_like(attention))


def test_each_target_word_is_linked_to_what_it_looks_at_most() -> None:
    attention = torch.tensor([[0.1, 0.8], [0.7, 0.2]])
    assert links_by_attention(attention, torch.tensor([0.1, 0.1])) == [(0, 1), (1, 0)]


def test_a_word_that_looks_at_the_end_is_left_alone() -> None:
    attention = torch.tensor([[0.9, 0.0], [0.04, 0.3]])
    assert links_by_attention(attention, torch.tensor([0.1, 0.6])) == [
        (0, 0),
        (1, 1),
    ]  # by the source word's choice
    attention = torch.tensor([[0.9, 0.0], [0.04, MIN_WEIGHT / 2]])
    assert links_by_attention(attention, torch.tensor([0.1, 0.9])) == [(0, 0)]


def test_a_source_word_that_is_nobodys_first_is_linked_if_it_is_worth_it() -> None:
    worth, not_worth = 2 * MIN_WEIGHT, MIN_WEIGHT / 2
    for share, expected in ((worth, [(0, 0), (1, 0)]), (not_worth, [(0, 0)])):
        assert links_by_attention(torch.tensor([[0.7, share]]), torch.tensor([0.1])) == expected


def test_a_word_that_everything_looks_at_does_not_take_all() -> None:
    attention = torch.tensor([[0.40, 0.1, 0.42], [0.1, 0.4, 0.42], [0.1, 0.1, 0.7]])
    assert attention.argmax(1).tolist() == [2, 2, 2]
    assert links_by_attention(attention, torch.zeros(3)) == [(0, 0), (1, 1), (2, 2)]


def test_no_words_no_links() -> None:
    assert links_by_attention(torch.zeros(0, 3), torch.zeros(0)) == []
    assert links_by_attention(torch.zeros(3, 0), torch.zeros(3)) == []
    assert links_by_attention(torch.zeros(2, 2), torch.zeros(2)) == []


def test_similarity_decides_where_attention_is_undecided() -> None:
    attention, similarity = torch.tensor([[0.4, 0.5], [0.5, 0.4]]), torch.eye(2)
    assert links_by_attention(attention, torch.zeros(2)) == [(0, 1), (1, 0)]
    assert links_of(attention, torch.zeros(2), similarity) == [(0, 0), (1, 1)]
    sure = torch.tensor([[0.01, 0.9], [0.9, 0.01]])
    assert links_of(sure, torch.zeros(2), similarity) == [(0, 1), (1, 0)]  # attention still counts
    # A word that attends to the end symbol stays without a link, however similar it is.
    attention, similarity = torch.tensor([[0.9], [0.04]]), torch.tensor([[0.0], [1.0]])
    assert links_of(attention, torch.tensor([0.0, 0.5]), similarity) == [(0, 0)]


def test_words_are_as_similar_as_the_means_of_their_pieces() -> None:
    source, target = token_weights([(0, 1), (1, 2), (3, 4)], [(0, 2), (3, 4)]), torch.eye(2)
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 5.0]]), torch.tensor([[2.0, 2.0], [0.0, -1.0]])
    expected = torch.tensor([[1.0, 0.5**0.5], [-(0.5**0.5), -1.0]])
    assert torch.allclose(word_similarity(*vectors, source, target), expected)
    no_tokens = torch.cat([source, torch.zeros(3, 1)], 1)
    assert word_similarity(*vectors, no_tokens, target)[:, 2].tolist() == [0, 0]


def test_links_of_tokens_are_those_of_their_words() -> None:
    attention, source, target = gathered()
    generator = torch.Generator().manual_seed(2)
    vectors = tuple(torch.randn(n, 5, generator=generator) for n in (4, 3))
    end = torch.tensor([[0.1], [0.2], [0.9]])
    found = token_links(torch.cat([attention, end], 1), vectors, (source, target))
    similarity = word_similarity(*vectors, source, target)
    assert found == links_of(word_attention(attention, source, target), torch.tensor([0.15, 0.9]), similarity)
