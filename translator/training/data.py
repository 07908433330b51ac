"""Lightning's data module: training batches and the validation split."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from translator.config import Config, DataConfig
from translator.data import corpus
from translator.data.batching import START, Batch, BatchStream, Position
from translator.data.copies import Copies
from translator.data.noise import add_noise, random_of_row
from translator.data.preparation import Prepared

#: Number of validation lines per batch.
VALIDATION_CHUNK = 128
#: Noise is not applied to a text if the noise would multiply the text's number of pieces by more than this
#: factor, because one long row adds padding to all other rows of its batch.
MAX_GROWTH = 2


class ValidationLines(NamedTuple):
    """A batch of lines of the validation split: their row numbers, sources and references."""

    rows: list[int]
    sources: list[str]
    references: list[str]


class TranslationData(LightningDataModule):
    """Provides validation batches, and an endless sequence of training batches from position `start` on."""

    def __init__(self, config: Config, prepared: Prepared, validation: Any):
        """Wrap a prepared corpus and a validation split with columns `source` and `target`."""
        super().__init__()
        self.config, self.prepared = config, prepared
        self.sources: list[str] = list(validation["source"])
        self.references: list[str] = list(validation["target"])
        #: With `data.sources`, the lines of each source in the validation split, by the source's name.
        self.validation_lines = _lines_by_source(config.data, seed=config.train.seed)
        copies = config.data.copies or config.data.random_names
        self._copies = Copies(prepared.tokenizer) if copies else None
        self.noise: dict[str, float] = config.data.noise.model_dump()
        self.start = START

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return this rank's training batches, from `start` on.

        The loader has no length. If it had one, Lightning would assume that every epoch has this number of
        batches, but the number differs between epochs. For Lightning, all batches therefore belong to one
        endless epoch; `Batch.position` keeps track of the actual epoch and batch.
        """
        train, trainer = self.config.train, self.trainer
        changes_targets = bool(self.config.tokenizer.dropout) or self._copies is not None
        stream = BatchStream(
            self.prepared.train,
            partial(self.prepared.plan, train),
            accumulate=train.accumulate,
            rank=trainer.global_rank if trainer else 0,
            n_ranks=trainer.world_size if trainer else 1,
            start=self.start,
            sample=self._sample if changes_targets or any(self.noise.values()) else None,
            keeps_targets=not changes_targets,
            sum_over_ranks=self._sum_over_ranks,
        )
        return DataLoader(stream, batch_size=None)

    def _sum_over_ranks(self, number: int) -> int:
        strategy = self.trainer.strategy if self.trainer and self.trainer.world_size > 1 else None
        if strategy is None:
            return number
        return int(strategy.reduce(torch.tensor(number, device=strategy.root_device), reduce_op="sum"))

    def val_dataloader(self) -> DataLoader[ValidationLines]:
        """Return this rank's shard of the validation split, in batches of lines of similar length."""
        trainer = self.trainer
        rank, n_ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return DataLoader(_Chunks(self.sources, self.references, rank, n_ranks), batch_size=None)

    def _sample(self, rows: Sequence[int], position: Position) -> tuple[list[list[int]], list[list[int]]]:
        """Return the source ids and the target ids of some pairs, with noise, BPE-dropout and random names.

        They are followed by the configured copies. Batches are planned without all of this. Noise may
        increase a batch's source tokens to `MAX_GROWTH` times the budget. It is applied to sources only, and
        if it makes a source too long, the source is used without noise. If BPE-dropout makes a text too long
        for the model, the text is segmented without BPE-dropout, and likewise for random names.
        """
        texts, usual = self.prepared.texts[list(rows)], self.prepared.train[list(rows)]
        sources, source_ids = self._add_noise(texts["source"], usual["source_ids"], rows, position.epoch)
        target_ids = usual["target_ids"]
        if self.config.tokenizer.dropout:
            source_ids = self._bpe_dropout(sources, source_ids, position, side=0)
            target_ids = self._bpe_dropout(texts["target"], target_ids, position, side=1)
        if self._copies is None:
            return source_ids, target_ids
        random = random_of_row(self.config.train.seed, *position)
        rate, examples = self.config.data.random_names, [*source_ids, *target_ids]
        for i, ids in enumerate(zip(source_ids, target_ids, strict=True)) if rate else ():
            new = self._copies.replace(*ids, rate, random, examples)
            if max(map(len, new)) < self.config.model.max_length:
                source_ids[i], target_ids[i] = new
        n_copies, max_pieces = round(self.config.data.copies * len(rows)), max(map(len, target_ids))
        copied_from, copies = self._copies.rows(n_copies, max_pieces, random)
        return source_ids + copied_from, target_ids + copies

    def _add_noise(
        self, texts: Sequence[str], ids: Sequence[list[int]], rows: Sequence[int], epoch: int
    ) -> tuple[list[str], list[list[int]]]:
        """Add noise to source texts. Return the noisy texts and their token ids.

        `ids` are the token ids of the texts without noise.
        """
        texts, ids, seed = list(texts), list(ids), self.config.train.seed
        noised = [
            add_noise(text, self.noise, random_of_row(seed, epoch, row))
            for text, row in zip(texts, rows, strict=True)
        ]
        changed = [i for i, text in enumerate(texts) if noised[i] != text]
        for i, new in zip(
            changed, self.prepared.tokenizer.encode_batch([noised[i] for i in changed]), strict=True
        ):
            if len(new) < self.config.model.max_length and len(new) <= MAX_GROWTH * len(ids[i]):
                texts[i], ids[i] = noised[i], new
        return texts, ids

    def _bpe_dropout(
        self, texts: Sequence[str], usual: Sequence[list[int]], position: Position, *, side: int
    ) -> list[list[int]]:
        """Return the ids of texts that are segmented at random (BPE-dropout; Provilkov et al. 2020).

        `usual` contains the ids of the texts without BPE-dropout. They are returned for texts that would get
        too long for the model. `side` is 0 for sources and 1 for targets, so that the two sides are segmented
        independently.
        """
        seed = ((self.config.train.seed * 1_000_003 + position.epoch) * 1_000_003 + position.batch) * 2 + side
        sampled = self.prepared.tokenizer.sample_batch(texts, self.config.tokenizer.dropout, seed=seed)
        max_length = self.config.model.max_length
        return [new if len(new) < max_length else old for new, old in zip(sampled, usual, strict=True)]


def _lines_by_source(data: DataConfig, *, seed: int) -> dict[str, slice]:
    parts = corpus.open_splits(data, "val", seed=seed) if data.sources else {}
    bounds = pairwise(accumulate(map(len, parts.values()), initial=0))
    return {name: slice(*lines) for name, lines in zip(parts, bounds, strict=True)}


class _Chunks(IterableDataset[ValidationLines]):
    def __init__(self, sources: list[str], references: list[str], rank: int, n_ranks: int):
        self.sources, self.references, self.rank, self.n_ranks = sources, references, rank, n_ranks

    def __iter__(self) -> Iterator[ValidationLines]:
        order = sorted(range(len(self.sources)), key=lambda i: (len(self.sources[i]), i))
        # All ranks get the same number of chunks, and the last chunk of a rank may be empty. Otherwise, a
        # rank that has one more chunk than another would wait for the other rank forever.
        for start in range(0, len(order), VALIDATION_CHUNK * self.n_ranks):
            first = start + self.rank * VALIDATION_CHUNK
            rows = order[first : first + VALIDATION_CHUNK]
            yield ValidationLines(rows, [self.sources[i] for i in rows], [self.references[i] for i in rows])
