"""Several sources: prepared together, checked against each other, trained on by weight, reported by name."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from mixed import MIXED, N_OTHER, write_other

from translator.cli.training import check_data_command
from translator.config import Config
from translator.data import corpus, preparation
from translator.data.preparation import open_evaluation_split, prepare
from translator.errors import DataError
from translator.evaluation.metrics import bleu
from translator.model_folder import MANIFEST, WEIGHTS
from translator.training.data import TranslationData
from translator.training.run import train

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

Make = Callable[..., Config]


@pytest.fixture
def mixed_config(tiny_config: Make, tiny_corpus: Path) -> Make:
    write_other(tiny_corpus)
    return lambda *overrides: tiny_config(*MIXED, *overrides)


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def test_sources_are_prepared_one_after_the_other(mixed_config: Make) -> None:
    prepared = prepare(mixed_config())
    shares = [(share.name, share.n_pairs, share.fraction) for share in prepared.shares]
    assert shares == [("own", 40, 0.7), ("other", N_OTHER - 14, pytest.approx(0.3))]
    sources = prepared.texts["source"][:]
    assert sources[0] == "Le chat dort sur la chaise."
    assert all(source.startswith("Je vois ") for source in sources[40:])
    assert len(sources) == len(prepared.train) == len(prepared.lengths.target) == 40 + N_OTHER - 14
    decode = prepared.tokenizer.decode
    assert [decode(ids) for ids in prepared.train["source_ids"]] == sources
    assert sorted(prepared.fingerprints) == [
        "other.train.en",
        "other.train.fr",
        *(f"own.{split}.{language}" for split in ("test", "train", "val") for language in ("en", "fr")),
    ]
    again = prepare(mixed_config())
    assert (again.shares, again.report) == (prepared.shares, prepared.report)
    heavier = prepare(mixed_config("data.sources.1.weight=30"))
    assert heavier.folder != prepared.folder
    assert heavier.tokenizer.model != prepared.tokenizer.model  # it is trained on the weighted mix


def test_the_vocabulary_follows_the_weights(mixed_config: Make) -> None:
    def n_pieces(weight: float) -> list[int]:
        """Pieces of a sentence of each source."""
        options = (f"data.sources.0.weight={weight}", "tokenizer.vocabulary_size=340")
        encode = prepare(mixed_config(*options)).tokenizer.encode
        return [len(encode(text)) for text in ("Le cœur du village est calme.", "Je vois 3 trains verts.")]

    of_own, of_other = zip(n_pieces(0.01), n_pieces(1000), strict=True)
    assert of_own[0] > of_own[1]
    assert of_other[0] < of_other[1]


def test_the_cache_does_not_depend_on_where_the_files_lie(
    mixed_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [mixed_config(), mixed_config("data.sources.0.root=somewhere")]
    hashed: list[Any] = []
    monkeypatch.setattr(preparation.json, "dumps", lambda key: hashed.append(key) or "")
    for config in configs:
        preparation._key(config, {}, None)
    assert hashed[0] == hashed[1]


def test_duplicates_and_leaks_are_found_across_sources(mixed_config: Make, tiny_corpus: Path) -> None:
    append(tiny_corpus / "other.tsv", "Il fait froid dehors.\tIt is cold outside.\n")  # in own's train
    append(tiny_corpus / "other.tsv", "Ma lampe est bleue.\tMy lamp is blue.\n")  # in own's test
    config = mixed_config()
    held = corpus.open_splits(config.data, "extra", seed=config.train.seed)["other"][0]
    append(tiny_corpus / "train.fr", f"{held['source']}\n\n")  # in other's `extra`, and blank
    append(tiny_corpus / "train.en", f"{held['target']}\nblank\n")
    report = prepare(config).report
    assert {name: (part.left_out, part.lines) for name, part in report.sources.items()} == {
        "own": ({"held_out": 1, "empty": 1}, {"held_out": [41], "empty": [42]}),
        "other": ({"held_out": 1, "duplicate": 1}, {"held_out": [403], "duplicate": [402]}),
    }
    assert report.left_out == {"held_out": 2, "empty": 1, "duplicate": 1}
    assert report.n_kept == sum(part.n_kept for part in report.sources.values())
    assert [line.partition(":")[0] for line in report.messages()] == ["own", "own", "other", "other"]


def test_an_error_names_the_source(mixed_config: Make, tiny_corpus: Path) -> None:
    with pytest.raises(DataError, match=r"^source other: .*missing\.tsv: no such file"):
        prepare(mixed_config("data.sources.1.files.train=missing.tsv"))
    with pytest.raises(DataError, match=r"^none of the 40 training pairs of own is fit for training"):
        prepare(mixed_config("data.max_characters=1", "data.sources.1.weight=1"))
    (tiny_corpus / "long.tsv").write_text(f"fr\ten\n{'xkq' * 40}\t{'zwj' * 40}\n", encoding="utf-8")
    long = ("data.sources.1={name: other, weight: 1, format: tsv, files: {train: long.tsv}}",)
    with pytest.raises(DataError, match=r"^every training pair of other has more than model\.max_length=64"):
        prepare(mixed_config(*long, "data.sources.1.weight=0.001"))
    with pytest.raises(DataError, match="no split 'dev'; the data has: train, val, test, extra"):
        corpus.open_split(mixed_config().data, "dev", seed=1)


def test_splits_of_several_sources_and_of_one(mixed_config: Make) -> None:
    data = mixed_config().data
    test = open_evaluation_split(data, "test", seed=1)
    assert test["source"][0] == "Le chien dort sur la chaise."
    assert corpus.origins(data, "test", seed=1) == ["own"] * 4 + ["other"] * 6
    assert (len(open_evaluation_split(data, "extra", seed=1)), corpus.origins(data, "extra", seed=1)) == (
        3,
        None,
    )
    book = mixed_config(
        "data.sources.1={name: book, weight: 1, format: phrasebook}",
        "data.sources.0.files.everyday='val.{lang}'",
    ).data
    assert corpus.second_references(book, "everyday") is None  # own has it, too
    del book.sources[0].files["everyday"]
    assert len(corpus.second_references(book, "everyday") or []) == len(
        corpus.open_split(book, "everyday", seed=1)
    )


def test_noise_differs_between_the_repetitions_of_a_source(mixed_config: Make) -> None:
    config = mixed_config("data.noise={accents: 0.5, lower: 0.5}", "data.sources.1.weight=0.7")
    prepared = prepare(config)
    data = TranslationData(config, prepared, open_evaluation_split(config.data, "val", seed=1))
    seen: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for batch in islice(data.train_dataloader(), len(prepared.plan(config.train, 0))):
        for source, target in zip(batch.source_ids.tolist(), batch.target_out.tolist(), strict=True):
            seen.setdefault(tuple(target), set()).add(tuple(source))
    assert max(map(len, seen.values())) >= 3


@pytest.mark.slow
def test_one_source_in_a_list_trains_to_the_bits_of_a_plain_configuration(
    tiny_config: Make, mixed_config: Make
) -> None:
    more = (
        "data.noise={lower: 0.3}",
        "train.embedding_init=counts",
        "tokenizer.dropout=0.1",
        "train.max_steps=8",
    )
    plain = train(tiny_config(*more), name="plain")
    source = mixed_config().data.sources[0].model_dump_json(exclude={"root"})
    listed = train(mixed_config(f"data.sources=[{source}]", *more), name="listed")
    both = train(mixed_config(*more), name="both")
    weights = [(folder / WEIGHTS).read_bytes() for folder in (plain, listed, both) if folder is not None]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.slow
def test_what_a_training_reports_names_each_source(
    mixed_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    model = train(mixed_config(), name="mixed")
    assert model is not None
    said = capsys.readouterr()
    assert "own: 40 pairs, " in said.err
    assert " 70.0% of training, " in said.err
    assert said.out.count("  own: BLEU ") == said.out.count("  other: BLEU ") == 1
    [log] = model.parent.glob("logs/version_*/metrics.csv")
    with log.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val_bleu"]]
    assert len(rows) == 2
    for row in rows:
        own, other, mean = (float(row[name]) for name in ("val_bleu_own", "val_bleu_other", "val_bleu"))
        assert mean == pytest.approx(0.7 * own + 0.3 * other, rel=1e-4, abs=1e-6)
        assert f"BLEU {mean:.2f} (own {own:.2f}, other {other:.2f})" in said.err
    manifest = json.loads((model / MANIFEST).read_text())
    assert list(manifest["data_report"]["sources"]) == ["own", "other"]
    assert list(manifest["scores"]["test"]["bleu_by_origin"]) == ["own", "other"]


def test_validation_bleu_is_the_weighted_mean(mixed_config: Make) -> None:
    from translator.training.validation import Validation

    config = mixed_config()
    split = open_evaluation_split(config.data, "val", seed=config.train.seed)
    data = TranslationData(config, None, split)  # type: ignore[arg-type]
    assert data.validation_lines == {"own": slice(0, 4), "other": slice(4, 9)}
    texts = [*data.references[:4], *(text.replace("I see", "You saw") for text in data.references[4:])]
    found = Validation(None, config, data)._bleu(texts)  # type: ignore[arg-type]
    other = bleu(texts[4:], data.references[4:])
    assert 0 < other < 100
    assert found == {
        "val_bleu": pytest.approx(70 + 0.3 * other),
        "val_bleu_own": pytest.approx(100),
        "val_bleu_other": other,
    }


def test_check_data_speaks_of_each_source(
    mixed_config: Make, tiny_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(tiny_corpus / "other.tsv", "un\n")
    path = str(tiny_corpus.parent / "tiny.yaml")
    check_data_command([path, *MIXED], as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["pairs"] == {
        **{"own.train": 40, "other.train": 386, "own.val": 4, "other.val": 5, "own.test": 4, "other.test": 6},
        "other.extra": 3,
    }
    assert facts["report"]["sources"]["other"]["lines"] == {"columns": [402]}
    tokens = {name: part["target_tokens"] for name, part in facts["sources"].items()}
    assert sum(tokens.values()) == facts["tokens"]["target"]
    passes = {name: part["passes_per_epoch"] * tokens[name] for name, part in facts["sources"].items()}
    assert passes == pytest.approx(
        {"own": 0.7 * facts["tokens"]["target"], "other": 0.3 * facts["tokens"]["target"]}
    )
    check_data_command([path, *MIXED])
    said = capsys.readouterr().out
    assert "own.train\t40\n" in said
    assert "other: left out: malformed: too few or too many columns: 1 (lines 402)" in said
    assert "other: 386 pairs, " in said


def test_batches_of_a_mix_have_the_tokens_of_the_weights(mixed_config: Make) -> None:
    config = mixed_config()
    prepared = prepare(config)
    counts: Counter[bool] = Counter()
    for epoch in range(3):
        plan = prepared.plan(config.train, epoch)
        for i, n in enumerate(plan.n_target_tokens.tolist()):
            counts[bool((plan.batch(i) < 40).all())] += n
    assert counts[True] / counts.total() == pytest.approx(0.7, abs=0.01)
    assert (
        torch.equal(plan.rows.unique(), torch.arange(40 + N_OTHER - 14)) is False
    )  # the large one is cut off
