"""Preparation of a corpus: it is read, checked and tokenized, and the result is cached on disk.

The tokenizer is trained on the same corpus, unless it is given. The name of the cache folder is a hash of
everything that influences the result. The folder is given this name only when it is complete. If the folder
is damaged, it is built again.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translator import console
from translator.config import Config, DataConfig
from translator.data import corpus, tables
from translator.data.batching import Lengths
from translator.data.noise import add_noise, random_of_row
from translator.data.preflight import check_pairs, hash_held_out
from translator.data.report import Report, refuse_unfit
from translator.data.sentences import split_sentences
from translator.data.tokenizer import Tokenizer
from translator.errors import DataError
from translator.files import ensure_sealed, remove_partial_folders

#: Version of the cached result. Increment it when a change to this module, `preflight` or `tokenizer` alters
#: the result for the same corpus.
PREPARATION_VERSION = 5
#: Maximum number of sources in the sample from which `multi_sentence_share` is estimated. With this many, a
#: fraction of 5 % is estimated to within 0.3 percentage points.
_MAX_SAMPLED_SOURCES = 20_000

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
    report: Report
    fingerprints: dict[str, str]
    vocabulary_message: str | None
    multi_sentence_share: float


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
    texts = corpus.open_split(config.data, "train", seed=config.train.seed)
    ensure_sealed(folder, FILES, lambda partial: _prepare_into(partial, config, texts, tokenizer))
    saved = json.loads((folder / "report.json").read_text())
    kept = torch.load(folder / "rows.pt", weights_only=True, mmap=True)
    return Prepared(
        folder,
        Tokenizer.load(folder / "tokenizer.model"),
        tables.open_arrow(folder / "train.arrow"),
        texts.select(kept.numpy(), new_fingerprint=folder.name),  # otherwise, `select` hashes all rows
        Lengths(*torch.load(folder / "lengths.pt", weights_only=True, mmap=True)),
        Report(**saved["report"]),
        fingerprints,
        saved["vocabulary_message"],
        saved["multi_sentence_share"],
    )


def open_evaluation_split(data: DataConfig, split: str, *, seed: int) -> Any:
    """Return a split for evaluation: all of its well-formed pairs, in file order.

    Malformed rows are reported on stderr.

    Raises:
        DataError: see `corpus.open_split`. Also raised if a row is malformed and `data.strict` is set.
    """
    table = corpus.open_split(data, split, seed=seed)
    report = Report(len(table))
    report.count_malformed(corpus.open_malformed(data, split))
    if data.strict:
        refuse_unfit(report, split)
    for message in report.messages():
        console.note(f"{split}: {message}")
    return table


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
    data = config.data.model_dump(exclude={"cache", "root", "strict"})
    tokenizer = config.tokenizer.model_dump(exclude={"dropout"})
    if given is not None:
        tokenizer = {"sha256": hashlib.sha256(given.model).hexdigest()}
    key = [
        PREPARATION_VERSION,
        corpus.READER_VERSION,
        sorted(fingerprints.items()),
        sorted(data.items()),
        sorted(tokenizer.items()),
        config.model.max_length,
        config.train.seed,
    ]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def _prepare_into(folder: Path, config: Config, texts: Any, given: Tokenizer | None) -> None:
    """Check and tokenize `texts`, which is the split `train`, and write the cache files into a folder."""
    others = [name for name in corpus.split_names(config.data) if name != "train"]
    held_out = hash_held_out(corpus.open_split(config.data, name, seed=config.train.seed) for name in others)
    report, fit = check_pairs(texts, config.data, held_out)
    report.count_malformed(corpus.open_malformed(config.data, "train"))
    if not len(fit):
        raise DataError(
            f"none of the {len(texts)} training pairs is fit for training: "
            f"{'; '.join(report.reasons())}; "
            "check that both sides are the right files"
        )
    try:
        tokenizer, message = (
            (given, None) if given else Tokenizer.train(_sample(texts, fit, config), config.tokenizer)
        )
    except DataError:  # the report may explain why training failed
        for note in report.messages():
            console.note(note)
        raise
    (folder / "tokenizer.model").write_bytes(tokenizer.model)
    kept, lengths = _tokenize(folder, texts, fit, tokenizer, config.model.max_length, report)
    torch.save(kept, folder / "rows.pt")
    torch.save(tuple(lengths), folder / "lengths.pt")
    saved = {
        "report": asdict(report),
        "vocabulary_message": message,
        "multi_sentence_share": _multi_sentence_fraction(texts, kept, config.data.source_language),
    }
    (folder / "report.json").write_text(json.dumps(saved, indent=2) + "\n")


def _sample(texts: Any, fit: Tensor, config: Config) -> Iterator[str]:
    """Yield the texts on which the tokenizer is trained: both sides of a random sample of the fit pairs.

    `data.noise` is applied to the sources.

    Args:
        texts: the split `train`.
        fit: row numbers of the pairs fit for training.
        config: the configuration.
    """
    rates, seed = config.data.noise.model_dump(), config.train.seed
    n_pairs = max(1, config.tokenizer.sample_sentences // 2)
    if n_pairs < len(fit):
        drawn = torch.randperm(len(fit), generator=torch.Generator().manual_seed(config.train.seed))
        fit = fit[drawn[:n_pairs].sort().values]
    for batch in texts.select(fit.numpy()).iter(batch_size=1000):
        rows = zip(batch["line"], batch["source"], strict=True)
        yield from (add_noise(source, rates, random_of_row(seed, 0, line)) for line, source in rows)
        yield from batch["target"]


def _multi_sentence_fraction(texts: Any, kept: Tensor, language: str) -> float:
    """Return the fraction of the sources that consist of two or more sentences.

    The fraction is estimated from a sample of evenly spaced rows of `kept`.
    """
    n = min(len(kept), _MAX_SAMPLED_SOURCES)
    rows = kept[torch.linspace(0, len(kept) - 1, n, dtype=torch.float64).long()]
    sources = texts.select(rows.numpy())["source"]
    return sum(len(split_sentences(source, language)) > 1 for source in sources) / len(rows)


def _tokenize(
    folder: Path, texts: Any, fit: Tensor, tokenizer: Tokenizer, max_length: int, report: Report
) -> tuple[Tensor, Lengths]:
    """Tokenize the pairs fit for training and write them to `train.arrow`.

    If a side of a pair has more than `max_length` tokens, including `EOS`, the pair is left out and counted
    in the report.

    Returns:
        The row numbers (in `texts`) of the pairs that were written, and the lengths of these pairs.

    Raises:
        DataError: every pair is too long.
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
    dropped = fit[~fits]
    if len(dropped):
        report.left_out["too_many_pieces"] = len(dropped)
        report.lines["too_many_pieces"] = texts[dropped[:10].tolist()]["line"]
    if not fits.any():
        raise DataError(f"every training pair has more than model.max_length={max_length} pieces; raise it")
    return fit[fits], Lengths(all_lengths[fits, 0].contiguous(), all_lengths[fits, 1].contiguous())
