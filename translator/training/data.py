"""The prepared corpus as Lightning wants it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from translator.config import Config
from translator.data.batching import START, Batch, BatchStream, Position
from translator.data.noise import add_noise, random_of_row
from translator.data.preparation import Prepared

#: Lines of the validation split that are scored and translated together.
VALIDATION_CHUNK = 128
#: A noised source of more than this many times its usual pieces stays as it was, since one long row widens
#: its whole batch.
MOST_GROWTH = 2


class ValidationLines(NamedTuple):
    """Some lines of the validation split: their row numbers and both sides' text."""

    rows: list[int]
    sources: list[str]
    references: list[str]


class TranslationData(LightningDataModule):
    """Endless training batches from a position on, and the validation split in chunks."""

    def __init__(self, config: Config, prepared: Prepared, validation: Any):
        """Take a prepared corpus and the validation split (columns `source`, `target`)."""
        super().__init__()
        self.config, self.prepared = config, prepared
        self.sources: list[str] = list(validation["source"])
        self.references: list[str] = list(validation["target"])
        self.noise: dict[str, float] = config.data.noise.model_dump()
        self.start = START

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return this rank's batches, from `start` on.

        The loader has no length: an epoch's number of batches changes with the seed, and Lightning would
        fix it at the first. So Lightning sees one endless epoch, and `Batch.position` says where we are.
        """
        train, trainer = self.config.train, self.trainer
        dropout = bool(self.config.tokenizer.dropout)
        stream = BatchStream(
            self.prepared.train,
            self.prepared.lengths,
            max_tokens=train.max_tokens_per_batch,
            seed=train.seed,
            accumulate=train.accumulate,
            rank=trainer.global_rank if trainer else 0,
            n_ranks=trainer.world_size if trainer else 1,
            start=self.start,
            sample=self._sample if dropout or any(self.noise.values()) else None,
            keeps_targets=not dropout,
        )
        return DataLoader(stream, batch_size=None)

    def val_dataloader(self) -> DataLoader[ValidationLines]:
        """Return this rank's share of the validation split, lines of like length together."""
        trainer = self.trainer
        rank, n_ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return DataLoader(_Chunks(self.sources, self.references, rank, n_ranks), batch_size=None)

    def _sample(self, rows: Sequence[int], position: Position) -> tuple[list[list[int]], list[list[int]]]:
        """Return the pieces of some pairs: sources with noise, both sides cut at random, as configured.

        Batches are planned by the plain text, so noise may take a batch's sources to `MOST_GROWTH` times the
        token budget. A side that is too long for the model keeps its usual pieces.
        """
        texts, usual = self.prepared.texts[list(rows)], self.prepared.train[list(rows)]
        sources, source_ids = self._noised(texts["source"], usual["source_ids"], rows, position.epoch)
        target_ids = usual["target_ids"]
        if self.config.tokenizer.dropout:
            source_ids = self._cut_at_random(sources, source_ids, position, side=0)
            target_ids = self._cut_at_random(texts["target"], target_ids, position, side=1)
        return source_ids, target_ids

    def _noised(
        self, texts: Sequence[str], ids: Sequence[list[int]], rows: Sequence[int], epoch: int
    ) -> tuple[list[str], list[list[int]]]:
        """Add noise to sources; return them and their pieces."""
        texts, ids, seed = list(texts), list(ids), self.config.train.seed
        noised = [
            add_noise(text, self.noise, random_of_row(seed, epoch, row))
            for text, row in zip(texts, rows, strict=True)
        ]
        changed = [i for i, text in enumerate(texts) if noised[i] != text]
        for i, new in zip(
            changed, self.prepared.tokenizer.encode_batch([noised[i] for i in changed]), strict=True
        ):
            if len(new) < self.config.model.max_length and len(new) <= MOST_GROWTH * len(ids[i]):
                texts[i], ids[i] = noised[i], new
        return texts, ids

    def _cut_at_random(
        self, texts: Sequence[str], usual: Sequence[list[int]], position: Position, *, side: int
    ) -> list[list[int]]:
        """Cut texts by BPE-dropout."""
        seed = ((self.config.train.seed * 1_000_003 + position.epoch) * 1_000_003 + position.batch) * 2 + side
        sampled = self.prepared.tokenizer.sample_batch(texts, self.config.tokenizer.dropout, seed=seed)
        most = self.config.model.max_length
        return [new if len(new) < most else old for new, old in zip(sampled, usual, strict=True)]


class _Chunks(IterableDataset[ValidationLines]):
    def __init__(self, sources: list[str], references: list[str], rank: int, n_ranks: int):
        self.sources, self.references, self.rank, self.n_ranks = sources, references, rank, n_ranks

    def __iter__(self) -> Iterator[ValidationLines]:
        order = sorted(range(len(self.sources)), key=lambda i: (len(self.sources[i]), i))
        # The last chunks may be empty: ranks with unlike numbers of them would wait for each other for ever.
        for start in range(0, len(order), VALIDATION_CHUNK * self.n_ranks):
            first = start + self.rank * VALIDATION_CHUNK
            rows = order[first : first + VALIDATION_CHUNK]
            yield ValidationLines(rows, [self.sources[i] for i in rows], [self.references[i] for i in rows])
