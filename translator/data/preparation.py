"""Preparation of a corpus: it is read, checked and tokenized, and the result is cached on disk.

The tokenizer is trained on the same corpus, unless it is given. The name of the cache folder is a hash of
everything that influences the result. The folder is given this name only when it is complete. If the folder
is damaged, it is built again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translator import console
from translator.config import Config, DataConfig, TrainConfig
from translator.data import corpus, tables
from translator.data.batching import EpochPlan, Lengths
from translator.data.mixing import Share, plan_mixed_epoch
from translator.data.preflight import NO_HASHES, check_pairs, hash_held_out
from translator.data.report import Report, refuse_unfit, report_malformed
from translator.data.sampling import multi_sentence_fraction, sample_texts
from translator.data.split_table import READER_VERSION
from translator.data.tokenizer import Tokenizer
from translator.errors import DataError
from translator.files import ensure_sealed, remove_partial_folders

#: Version of the cached result. Increment it when a change to this module, `preflight` or `tokenizer` alters
#: the result for the same corpus.
PREPARATION_VERSION = 5

#: The files of the cache folder.
FILES = ("tokenizer.model", "train.arrow", "rows.pt", "lengths.pt", "report.json")


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    Attributes:
        folder: the cache folder of the corpus.
        tokenizer: the tokenizer trained on the corpus.
        train: token ids of the training pairs, in a memory-mapped table with the columns `source_ids` and
            `target_ids`.
        texts: the same pairs as text, in a memory-mapped table that has the columns `source` and `target`.
        lengths: lengths of the training pairs, memory-mapped.
        shares: the sources of the training pairs, in the order of their pairs; without `data.sources`, one.
        report: how many rows of the split `train` were left out or noted, and why.
        fingerprints: digests that identify the data; see `corpus.fingerprints`.
        vocabulary_message: if the vocabulary is smaller than configured, a message to the user; else None.
        multi_sentence_share: fraction of the training sources that consist of two or more sentences,
            estimated from a sample.
    """

    folder: Path
    tokenizer: Tokenizer
    train: Any
    texts: Any
    lengths: Lengths
    shares: list[Share]
    report: Report
    fingerprints: dict[str, str]
    vocabulary_message: str | None
    multi_sentence_share: float

    def plan(self, train: TrainConfig, epoch: int) -> EpochPlan:
        """Return the batches of an epoch."""
        return plan_mixed_epoch(
            self.lengths, self.shares, max_tokens=train.max_tokens_per_batch, seed=train.seed, epoch=epoch
        )


def prepare(config: Config, tokenizer: Tokenizer | None = None) -> Prepared:
    """Return the prepared corpus of a configuration. If it is not in the cache, prepare it first.

    Args:
        config: the configuration.
        tokenizer: the tokenizer to use. If it is None, one is trained on the corpus.

    Raises:
        DataError: the data cannot be read, or no pair is fit for training.
    """
    fingerprints = corpus.fingerprints(config.data)
    cache = Path(config.data.cache).expanduser()
    for parent in (cache, cache / "arrow"):
        remove_partial_folders(parent)
    folder = cache / _key(config, fingerprints, tokenizer)
    sources = corpus.open_splits(config.data, "train", seed=config.train.seed)
    texts = tables.concatenate(list(sources.values()))
    ensure_sealed(folder, FILES, lambda partial: _prepare_into(partial, config, sources, texts, tokenizer))
    saved = json.loads((folder / "report.json").read_text())
    report = Report.from_dict(saved["report"])
    kept = torch.load(folder / "rows.pt", weights_only=True, mmap=True)
    return Prepared(
        folder,
        Tokenizer.load(folder / "tokenizer.model"),
        tables.open_arrow(folder / "train.arrow"),
        texts.select(kept.numpy(), new_fingerprint=folder.name),  # otherwise, `select` hashes all rows
        Lengths(*torch.load(folder / "lengths.pt", weights_only=True, mmap=True)),
        _shares(config.data, report),
        report,
        fingerprints,
        saved["vocabulary_message"],
        saved["multi_sentence_share"],
    )


def _shares(data: DataConfig, report: Report) -> list[Share]:
    total = sum(source.weight for source in data.sources)
    fractions = {source.name: source.weight / total for source in data.sources} or {"": 1.0}
    sizes = {name: part.n_kept for name, part in (report.sources or {"": report}).items()}
    return [Share(name, sizes[name], fraction) for name, fraction in fractions.items()]


def open_evaluation_split(data: DataConfig, split: str, *, seed: int) -> Any:
    """Return a split for evaluation: all of its well-formed pairs, in file order, of all sources.

    Malformed rows are reported on stderr.

    Raises:
        DataError: see `corpus.open_splits`. Also raised if a row is malformed and `data.strict` is set.
    """
    sources = corpus.open_splits(data, split, seed=seed)
    malformed = corpus.open_malformed(data, split)
    report = Report.of_sources(
        {name: report_malformed(len(table), malformed[name]) for name, table in sources.items()}
    )
    if data.strict:
        refuse_unfit(report, split)
    for message in report.messages():
        console.note(f"{split}: {message}")
    return tables.concatenate(list(sources.values()))


def check_strict(data: DataConfig, report: Report, *, seed: int) -> None:
    """If `data.strict` is set, check that no row of any split is left out.

    Args:
        data: the source of the corpus.
        report: the report on the split `train`. The other splits are read here.
        seed: seed of the splits that are held out from `train`.

    Raises:
        DataError: a row is left out. The message names the split and, for each reason, the number of rows
            left out and the numbers of the first lines.
    """
    if data.strict:
        refuse_unfit(report, "train")
        for split in corpus.split_names(data):
            if split != "train":
                open_evaluation_split(data, split, seed=seed)


def _key(config: Config, fingerprints: dict[str, str], given: Tokenizer | None) -> str:
    data = config.data.model_dump(
        exclude={
            "cache": True,
            "copies": True,
            "random_names": True,
            "root": True,
            "strict": True,
            "sources": {"__all__": {"root"}},
        }
    )
    tokenizer = config.tokenizer.model_dump(exclude={"dropout"})
    if given is not None:
        tokenizer = {"sha256": hashlib.sha256(given.model).hexdigest()}
    key = [
        PREPARATION_VERSION,
        READER_VERSION,
        sorted(fingerprints.items()),
        sorted(data.items()),
        sorted(tokenizer.items()),
        config.model.max_length,
        config.train.seed,
    ]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def _prepare_into(
    folder: Path, config: Config, sources: dict[str, Any], texts: Any, given: Tokenizer | None
) -> None:
    """Check and tokenize the split `train`, and write the cache files into a folder.

    Args:
        folder: the folder.
        config: the configuration.
        sources: the split of each source.
        texts: the splits of all sources, one after the other.
        given: the tokenizer to use, or None.
    """
    reports, fits = _check(config, sources)
    report = Report.of_sources(reports)
    shares = _shares(config.data, report)
    try:
        tokenizer, message = (
            (given, None)
            if given
            else Tokenizer.train(sample_texts(texts, fits, shares, config), config.tokenizer)
        )
    except DataError:  # the report may explain why training failed
        for note in report.messages():
            console.note(note)
        raise
    (folder / "tokenizer.model").write_bytes(tokenizer.model)
    is_kept, lengths = _tokenize(folder, texts, torch.cat(fits), tokenizer, config.model.max_length)
    kept_of = []
    masks = torch.split(is_kept, [len(fit) for fit in fits])
    for (name, part), fit, mask in zip(reports.items(), fits, masks, strict=True):
        if not mask.any():
            limit = f"model.max_length={config.model.max_length}"
            whose = f" of {name}" if name else ""
            raise DataError(f"every training pair{whose} has more than {limit} pieces; raise it")
        if not mask.all():
            dropped = fit[~mask]
            part.left_out["too_many_pieces"] = len(dropped)
            part.lines["too_many_pieces"] = texts[dropped[:10].tolist()]["line"]
        kept_of.append(fit[mask])
    torch.save(torch.cat(kept_of), folder / "rows.pt")
    torch.save(tuple(lengths), folder / "lengths.pt")
    language = config.data.source_language
    saved = {
        "report": asdict(Report.of_sources(reports)),
        "vocabulary_message": message,
        "multi_sentence_share": sum(
            share.fraction * multi_sentence_fraction(texts, rows, language)
            for share, rows in zip(shares, kept_of, strict=True)
        ),
    }
    (folder / "report.json").write_text(json.dumps(saved, indent=2) + "\n")


def _check(config: Config, sources: dict[str, Any]) -> tuple[dict[str, Report], list[Tensor]]:
    """Check the training pairs of each source, against the other splits and the earlier pairs of all sources.

    Returns:
        The report on each source, and the numbers of its rows that are fit for training. The rows of all
        sources are numbered together.

    Raises:
        DataError: no pair of a source is fit.
    """
    data, seed = config.data, config.train.seed
    others = [name for name in corpus.split_names(data) if name != "train"]
    held_out = hash_held_out(corpus.open_split(data, name, seed=seed) for name in others)
    malformed = corpus.open_malformed(data, "train")
    reports, fits, hashes, first = {}, [], [NO_HASHES], 0
    for name, table in sources.items():
        report, fit, own = check_pairs(table, data, held_out, earlier=torch.cat(hashes))
        report.count_malformed(malformed[name])
        if not len(fit):
            whose = f" of {name}" if name else ""
            raise DataError(
                f"none of the {len(table)} training pairs{whose} is fit for training: "
                f"{'; '.join(report.reasons())}; "
                "check that both sides are the right files"
            )
        reports[name] = report
        fits.append(first + fit)
        hashes.append(own)
        first += len(table)
    return reports, fits


def _tokenize(
    folder: Path, texts: Any, fit: Tensor, tokenizer: Tokenizer, max_length: int
) -> tuple[Tensor, Lengths]:
    """Tokenize the pairs fit for training and write them to `train.arrow`.

    If a side of a pair has more than `max_length` tokens, including `EOS`, the pair is left out.

    Returns:
        A bool tensor that tells for each pair whether it was written, and the lengths of these pairs.
    """
    lengths: list[Tensor] = []

    def encode(sources: list[str], targets: list[str]) -> dict[str, list[list[int]]]:
        source_ids, target_ids = tokenizer.encode_batch(sources), tokenizer.encode_batch(targets)
        both = torch.tensor([[len(s) + 1, len(t) + 1] for s, t in zip(source_ids, target_ids, strict=True)])
        lengths.append(both.to(torch.int32))
        fits = (both <= max_length).all(1).tolist()
        return {
            "source_ids": [ids for ids, ok in zip(source_ids, fits, strict=True) if ok],
            "target_ids": [ids for ids, ok in zip(target_ids, fits, strict=True) if ok],
        }

    tables.write_tokens(texts.select(fit.numpy()), encode, folder / "train.arrow")
    all_lengths = torch.cat(lengths)
    fits = (all_lengths <= max_length).all(1)
    return fits, Lengths(all_lengths[fits, 0].contiguous(), all_lengths[fits, 1].contiguous())
