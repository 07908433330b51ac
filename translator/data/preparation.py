"""From a configuration to tokenised pairs on disk, once: read, check, build the vocabulary, tokenise.

The folder of the result is named by everything that shaped it, so a second call finds it; it appears
under its name only when it is whole, and is made anew where it was damaged.
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
from translator.config import Config
from translator.data import corpus
from translator.data.batching import Lengths
from translator.data.noise import add_noise, random_of_row
from translator.data.preflight import check_pairs, hash_held_out
from translator.data.report import Report, refuse_unfit
from translator.data.sentences import split_sentences
from translator.data.tokenizer import Tokenizer
from translator.errors import DataError
from translator.files import find_sealed, remove_partial_folders

#: Raise it when a change here, in `preflight` or in `tokenizer` would prepare a corpus differently.
PREPARATION_VERSION = 5
#: Sources that are looked at for several sentences, at most; as many give a share of 5 % to within 0.3 %.
_MAX_JUDGED = 20_000

#: The files of the folder.
FILES = ("tokenizer.model", "train.arrow", "rows.pt", "lengths.pt", "report.json")


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    Attributes:
        folder: where it lies.
        tokenizer: the vocabulary.
        train: columns `source_ids`, `target_ids`; memory-mapped.
        texts: columns `source`, `target` of the same pairs; memory-mapped.
        lengths: of the training pairs; memory-mapped.
        report: what was left out and noted.
        fingerprints: what identifies the data.
        vocabulary_message: said where the vocabulary had to shrink.
        multi_sentence_share: share of the training sources that hold two sentences or more.
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


def prepare(config: Config) -> Prepared:
    """Prepare a corpus, or find it prepared.

    Raises:
        DataError: the data cannot be read, or no pair is fit for training.
    """
    fingerprints = corpus.fingerprints(config.data)
    cache = Path(config.data.cache).expanduser()
    for parent in (cache, cache / "arrow"):
        remove_partial_folders(parent)
    folder = cache / _key(config, fingerprints)
    texts = corpus.open_split(config.data, "train", seed=config.train.seed)
    find_sealed(folder, FILES, lambda partial: _prepare_into(partial, config, texts))
    saved = json.loads((folder / "report.json").read_text())
    kept = torch.load(folder / "rows.pt", weights_only=True, mmap=True)
    return Prepared(
        folder,
        Tokenizer.load(folder / "tokenizer.model"),
        corpus.open_arrow(folder / "train.arrow"),
        texts.select(kept.numpy(), new_fingerprint=folder.name),  # else it hashes the row numbers
        Lengths(*torch.load(folder / "lengths.pt", weights_only=True, mmap=True)),
        Report(**saved["report"]),
        fingerprints,
        saved["vocabulary_message"],
        saved["multi_sentence_share"],
    )


def open_scored(config: Config, split: str) -> Any:
    """Return a split to be translated and scored: all of its rows in order, but malformed ones.

    Those are noted on stderr.

    Raises:
        DataError: as `corpus.open_split`; or a row is malformed and `data.strict` is set.
    """
    table = corpus.open_split(config.data, split, seed=config.train.seed)
    report = Report(len(table))
    report.count_malformed(corpus.open_malformed(config.data, split))
    if config.data.strict:
        refuse_unfit(report, split)
    for message in report.messages():
        console.note(f"{split}: {message}")
    return table


def check_strict(config: Config, report: Report) -> None:
    """Refuse, where `data.strict` is set, a corpus that anything of any split would be left out of.

    Raises:
        DataError: names the split, each reason, its count and its first lines.
    """
    if config.data.strict:
        refuse_unfit(report, "train")
        for split in corpus.split_names(config.data):
            if split != "train":
                open_scored(config, split)


def _key(config: Config, fingerprints: dict[str, str]) -> str:
    data = config.data.model_dump(exclude={"cache", "root", "strict"})
    tokenizer = config.tokenizer.model_dump(exclude={"dropout"})
    shaped_by = [
        PREPARATION_VERSION,
        corpus.READER_VERSION,
        sorted(fingerprints.items()),
        sorted(data.items()),
        sorted(tokenizer.items()),
        config.model.max_length,
        config.train.seed,
    ]
    return hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()[:16]


def _prepare_into(folder: Path, config: Config, texts: Any) -> None:
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
        tokenizer, message = Tokenizer.train(_sample(texts, fit, config), config.tokenizer)
    except DataError:  # what was found in the corpus may be why
        for found in report.messages():
            console.note(found)
        raise
    (folder / "tokenizer.model").write_bytes(tokenizer.model)
    kept, lengths = _tokenise(folder, texts, fit, tokenizer, config.model.max_length, report)
    torch.save(kept, folder / "rows.pt")
    torch.save(tuple(lengths), folder / "lengths.pt")
    saved = {
        "report": asdict(report),
        "vocabulary_message": message,
        "multi_sentence_share": _multi_sentence_share(texts, kept, config.data.source_language),
    }
    (folder / "report.json").write_text(json.dumps(saved, indent=2) + "\n")


def _sample(texts: Any, fit: Tensor, config: Config) -> Iterator[str]:
    """Yield both sides of a seeded sample of the pairs fit for training, sources with their noise."""
    rates, seed = config.data.noise.model_dump(), config.train.seed
    n_pairs = max(1, config.tokenizer.sample_sentences // 2)
    if n_pairs < len(fit):
        drawn = torch.randperm(len(fit), generator=torch.Generator().manual_seed(config.train.seed))
        fit = fit[drawn[:n_pairs].sort().values]
    for batch in texts.select(fit.numpy()).iter(batch_size=1000):
        rows = zip(batch["line"], batch["source"], strict=True)
        yield from (add_noise(source, rates, random_of_row(seed, 0, line)) for line, source in rows)
        yield from batch["target"]


def _multi_sentence_share(texts: Any, kept: Tensor, language: str) -> float:
    """The share of sources that hold two sentences or more, of at most `_MAX_JUDGED`, evenly spaced."""
    rows = kept[torch.linspace(0, len(kept) - 1, min(len(kept), _MAX_JUDGED), dtype=torch.float64).long()]
    sources = texts.select(rows.numpy())["source"]
    return sum(len(split_sentences(source, language)) > 1 for source in sources) / len(rows)


def _tokenise(
    folder: Path, texts: Any, fit: Tensor, tokenizer: Tokenizer, max_length: int, report: Report
) -> tuple[Tensor, Lengths]:
    """Write `train.arrow`; return the rows kept and their lengths. Pairs of too many pieces are left out."""
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

    corpus.write_tokens(texts.select(fit.numpy()), encode, folder / "train.arrow")
    every = torch.cat(lengths)
    fits = (every <= max_length).all(1)
    dropped = fit[~fits]
    if len(dropped):
        report.left_out["too_many_pieces"] = len(dropped)
        report.lines["too_many_pieces"] = texts[dropped[:10].tolist()]["line"]
    if not fits.any():
        raise DataError(f"every training pair has more than model.max_length={max_length} pieces; raise it")
    return fit[fits], Lengths(every[fits, 0].contiguous(), every[fits, 1].contiguous())
