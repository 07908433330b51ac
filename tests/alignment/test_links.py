"""Lines of links, their scores, and combining the links of both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translator.alignment.links import Gold, diagonal, format_links, grow_diagonal, link_scores, parse_links
from translator.errors import DataError

LINKS = st.frozensets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def gold(line: str) -> Gold:
    return parse_links(line, where="gold:1")


def test_sure_and_possible_links_are_told_apart() -> None:
    found = gold("0-0 1p2 10?3 2-1")
    assert found.sure == {(0, 0), (2, 1)}
    assert found.possible == {(0, 0), (2, 1), (1, 2), (10, 3)}
    assert gold("  ") == Gold(frozenset(), frozenset())


def test_counting_from_one() -> None:
    assert parse_links("1-1 2p3", where="gold:1", one_based=True).possible == {(0, 0), (1, 2)}
    assert format_links([(1, 0), (0, 2)]) == "0-2 1-0"
    assert format_links([(1, 0), (0, 2)], one_based=True) == "1-3 2-1"


@given(links=LINKS)
def test_what_is_written_is_read_again(links: frozenset[tuple[int, int]]) -> None:
    for one_based in (False, True):
        line = format_links(links, one_based=one_based)
        assert parse_links(line, where="x", one_based=one_based) == Gold(links, links)


@pytest.mark.parametrize("item", ["1", "1-", "a-b", "-1-2", "1-2-3", "1/2", "1--2", "1-2,", "²-1", "1 -2"])
def test_what_is_no_link_is_named_with_its_place(item: str) -> None:
    with pytest.raises(DataError, match=r"^gold\.txt:7: '.*' is not a link; write i-j for a sure link"):
        parse_links(f"0-0 {item}", where="gold.txt:7")


@pytest.mark.parametrize("item", ["9" * 5000 + "-1", "1p" + "9" * 5000, "9" * 10 + "?1", "x" * 5000])
def test_what_is_no_link_is_named_however_long_it_is(item: str) -> None:
    with pytest.raises(DataError, match="is not a link") as stopped:
        parse_links(f"0-0 {item}", where="gold.txt:7")
    assert len(str(stopped.value)) < 200


def test_links_that_cannot_be_are_named() -> None:
    with pytest.raises(DataError, match="gold:1: '0-1' counts from 0, and with --one-based"):
        parse_links("0-1", where="gold:1", one_based=True)
    assert parse_links("2-1", where="gold:1", n_words=(3, 2)).sure == {(2, 1)}
    for line in ("3-0", "0-2"):
        with pytest.raises(DataError, match=f"gold:1: '{line}' is beyond the pair's 3 and 2 words"):
            parse_links(line, where="gold:1", n_words=(3, 2))


def test_scores_of_an_example_by_hand() -> None:
    """Two pairs: A has 5 links, S has 4; A ∩ S has 2, and A ∩ P one possible link more."""
    scores = link_scores([[(0, 0), (1, 1), (2, 0)], [(0, 1), (1, 0)]], [gold("0-0 2p0 2-2"), gold("0-1 1-1")])
    assert (scores.n_links, scores.n_sure) == (5, 4)
    assert scores.precision == pytest.approx(3 / 5)
    assert scores.recall == pytest.approx(2 / 4)
    assert scores.aer == pytest.approx(1 - (2 + 3) / (5 + 4))


def test_the_gold_itself_has_no_error_and_nothing_else_is_so_good() -> None:
    pairs = [gold("0-0 1-2 2p2"), gold("")]
    assert link_scores([[(0, 0), (1, 2)], []], pairs).aer == 0
    assert link_scores([[(0, 0), (1, 2), (2, 2)], []], pairs).aer == 0  # a possible link costs nothing
    assert link_scores([[(0, 0), (1, 2), (2, 1)], []], pairs).aer > 0
    assert link_scores([[(0, 0)], []], pairs).aer > 0
    assert link_scores([[], []], pairs).aer == 1
    assert link_scores([], []).aer == 0


def test_a_pair_too_few_is_no_score() -> None:
    with pytest.raises(DataError, match="1 pairs are aligned and the gold has 2"):
        link_scores([[]], [gold(""), gold("")])


def test_the_diagonal() -> None:
    assert diagonal(3, 3) == [(0, 0), (1, 1), (2, 2)]
    assert diagonal(2, 4) == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert diagonal(4, 2) == [(1, 0), (3, 1)]
    assert diagonal(0, 2) == diagonal(2, 0) == []


@given(n_source=st.integers(1, 50), n_target=st.integers(1, 50))
def test_the_diagonal_links_each_target_word_to_a_word(n_source: int, n_target: int) -> None:
    links = diagonal(n_source, n_target)
    assert [j for _, j in links] == list(range(n_target))
    assert all(0 <= i < n_source for i, _ in links)


def test_growing_takes_neighbours_whose_word_has_no_link() -> None:
    forward, backward = [(0, 0), (1, 1), (3, 3)], [(0, 0), (1, 1), (1, 2), (4, 0)]
    # (1, 2) touches (1, 1) and its target word has none; then (3, 3) does not touch it, nor (4, 0) anything.
    assert grow_diagonal(forward, backward) == [(0, 0), (1, 1), (1, 2)]
    assert grow_diagonal(forward, backward, final_and=True) == [(0, 0), (1, 1), (1, 2), (3, 3)]


def test_growing_goes_on_from_what_has_grown() -> None:
    assert grow_diagonal([(0, 0), (2, 2)], [(0, 0), (1, 1)]) == [(0, 0), (1, 1), (2, 2)]


def test_a_link_between_two_words_that_have_one_is_not_taken() -> None:
    assert grow_diagonal([(0, 0), (1, 1)], [(0, 0), (1, 1), (0, 1)]) == [(0, 0), (1, 1)]


@given(forward=LINKS, backward=LINKS, final_and=st.booleans())
def test_joined_links_lie_between_what_both_and_what_any_has(
    forward: frozenset[tuple[int, int]], backward: frozenset[tuple[int, int]], final_and: bool
) -> None:
    joined = grow_diagonal(forward, backward, final_and=final_and)
    assert forward & backward <= set(joined) <= forward | backward
    assert joined == sorted(grow_diagonal(backward, forward, final_and=final_and)) or final_and
    assert grow_diagonal(forward, forward) == sorted(forward)
