"""Rows of random pieces to copy: what they are made of, and that they depend on nothing but their seed."""

from random import Random

from translator.data.copies import Copies

PIECES = {"a": 5, "▁b": 6, "cde": 7, "▁fghi": 8, "jklmn": 9}


def test_a_target_is_the_end_of_its_source() -> None:
    sources, targets = Copies(PIECES).draw(200, 6, Random(1))
    assert len(sources) == len(targets) == 200
    for source, target in zip(sources, targets, strict=True):
        assert 1 <= len(source) <= 6
        assert target
        assert source[-len(target) :] == target
    assert any(len(source) > len(target) for source, target in zip(sources, targets, strict=True))
    assert any(source == target for source, target in zip(sources, targets, strict=True))


def test_every_other_row_has_short_pieces_only_and_all_pieces_occur() -> None:
    sources, _ = Copies(PIECES).draw(2_000, 4, Random(2))
    assert {i for ids in sources for i in ids} == set(PIECES.values())
    n_short = sum({5, 6, 7}.issuperset(ids) for ids in sources)
    assert 1_000 < n_short < 1_600  # half of them, and some of the others by chance


def test_rows_are_never_longer_than_the_batch_nor_than_twelve_pieces() -> None:
    for most, expected in ((1, 1), (5, 5), (100, 12)):
        assert max(map(len, Copies(PIECES).draw(500, most, Random(3))[0])) == expected


def test_the_same_seed_draws_the_same_rows() -> None:
    draws = [Copies(PIECES).draw(50, 9, Random(seed)) for seed in (4, 4, 5)]
    assert draws[0] == draws[1] != draws[2]


def test_a_vocabulary_without_short_pieces_is_used_as_a_whole() -> None:
    sources, _ = Copies({"▁long": 1, "words": 2}).draw(20, 3, Random(6))
    assert {i for ids in sources for i in ids} == {1, 2}
