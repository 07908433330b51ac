"""Embeddings by counting: translations and neighbours start out alike, whatever the rest."""

import pytest
import torch
from datasets import Dataset
from torch.nn import functional as F

from translator.config import InvalidConfigError, validate
from translator.training import embedding_init
from translator.training.embedding_init import cooccurrence_embeddings

V, D = 60, 32


def pairs(*, is_shuffled: bool = False) -> Dataset:
    """Sources of pieces 5 to 24, each translated word by word as the piece 20 above it."""
    drawn = torch.randint(5, 25, (400, 6), generator=torch.Generator().manual_seed(1))
    targets = drawn + 20
    if is_shuffled:
        targets = targets.flatten()[torch.randperm(2400, generator=torch.Generator().manual_seed(2))].view(
            400, 6
        )
    lengths = [3 + row % 4 for row in range(400)]
    return Dataset.from_dict(
        {
            "source_ids": [ids[:n] for ids, n in zip(drawn.tolist(), lengths, strict=True)],
            "target_ids": [ids[:n] for ids, n in zip(targets.tolist(), lengths, strict=True)],
        }
    )


def n_translated(embeddings: torch.Tensor) -> int:
    """How many sources have their translation nearest, among all targets."""
    unit = F.normalize(embeddings)
    return int((unit[5:25] @ unit[25:45].T).argmax(1).eq(torch.arange(20)).sum())


def test_translations_are_nearest_and_only_where_there_are_any() -> None:
    torch.manual_seed(1)
    embeddings = cooccurrence_embeddings(pairs(), V, D)
    assert embeddings.shape == (V, D)
    assert embeddings.isfinite().all()
    assert n_translated(embeddings) >= 18
    assert n_translated(cooccurrence_embeddings(pairs(is_shuffled=True), V, D)) < 6  # the control


def test_rows_are_as_long_as_random_ones_and_unseen_pieces_are_random() -> None:
    torch.manual_seed(1)
    embeddings = cooccurrence_embeddings(pairs(), V, D)
    assert 0.7 < float(embeddings.norm(dim=1).mean()) < 1.3
    torch.manual_seed(1)
    again = cooccurrence_embeddings(pairs(), V, D)
    assert torch.equal(embeddings, again)
    torch.manual_seed(2)
    other = cooccurrence_embeddings(pairs(), V, D)
    unseen = torch.tensor([0, 1, 2, 3, 4, *range(45, V)])
    cosines = F.normalize(embeddings[unseen]) @ F.normalize(embeddings[25:45]).T
    assert float(cosines.abs().mean()) < 0.3
    assert not torch.equal(embeddings[unseen], other[unseen])


def test_what_meets_is_counted_on_both_sides_and_across() -> None:
    data = Dataset.from_dict({"source_ids": [[5, 6]], "target_ids": [[7]]})
    counts = embedding_init._counts(data, 8)
    assert torch.equal(counts, counts.T)
    assert counts[5, 6] == 1  # neighbours, in both orders: a half each
    assert counts[5, 5] == 2
    assert counts[5, 7] == 1  # the same relative place
    assert float(counts[6, 7]) == pytest.approx(torch.tensor(-4.0).exp().item())  # half a line away
    assert float(counts.sum()) == pytest.approx(2 * (4 + 1 + counts[6, 7].item()))


def test_few_pieces_and_few_pairs_are_enough() -> None:
    data = Dataset.from_dict({"source_ids": [[5]], "target_ids": [[6]]})
    assert cooccurrence_embeddings(data, 8, 32).shape == (8, 32)
    assert cooccurrence_embeddings(data, 8, 32).isfinite().all()


def test_a_vocabulary_too_large_to_count_is_refused() -> None:
    options = {
        "train": {"max_steps": 1, "embedding_init": "counts"},
        "tokenizer": {"vocabulary_size": 16_001},
    }
    with pytest.raises(InvalidConfigError) as caught:
        validate(options)
    said = (
        "tokenizer.vocabulary_size=16001 is too large for train.embedding_init=counts; lower it to 16000 or"
    )
    assert f"{said} set train.embedding_init=normal" in str(caught.value.problems)
    options["tokenizer"] = {"vocabulary_size": 16_000}
    assert validate(options).train.embedding_init == "counts"
