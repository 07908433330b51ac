"""Preparation: cached by everything that influences it, aligned with the text, and atomic."""

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from datasets.table import MemoryMappedTable

from translator.config import Config
from translator.data import corpus, tables
from translator.data.input_map import map_input
from translator.data.preparation import FILES, Prepared, prepare
from translator.data.tokenizer import Tokenizer
from translator.errors import DataError

Make = Callable[..., Config]

# Letters that no piece joins.
MANY_PIECES = "xzkwvqjhzxkqwjvzhxqkjwzvxhqzjkwv"


def texts_of(prepared: Prepared) -> list[tuple[str, str]]:
    return list(zip(prepared.texts["source"], prepared.texts["target"], strict=True))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def append(corpus_folder: Path, split: str, source: str, target: str) -> None:
    for language, text in (("fr", source), ("en", target)):
        with (corpus_folder / f"{split}.{language}").open("a", encoding="utf-8", newline="\n") as file:
            file.write(text + "\n")


def folders(config: Config) -> list[str]:
    """Return the contents of the cache except the folder of the readers."""
    return sorted(path.name for path in Path(config.data.cache).iterdir() if path.name != "arrow")


def test_rows_tokens_and_lengths_belong_together(tiny_config: Make, tiny_corpus: Path) -> None:
    append(tiny_corpus, "train", "", "left out")
    append(tiny_corpus, "train", "Encore une phrase.", "One more sentence.")
    prepared = prepare(tiny_config())
    sources = map(map_input, lines(tiny_corpus / "train.fr"))
    pairs = list(zip(sources, lines(tiny_corpus / "train.en"), strict=True))
    assert texts_of(prepared) == [*pairs[:40], pairs[41]]
    assert len(prepared.train) == len(prepared.lengths.source) == len(prepared.lengths.target) == 41
    decode = prepared.tokenizer.decode
    for row in range(41):
        ids = prepared.train[row]
        assert (decode(ids["source_ids"]), decode(ids["target_ids"])) == texts_of(prepared)[row]
        assert prepared.lengths.source[row] == len(ids["source_ids"]) + 1
        assert prepared.lengths.target[row] == len(ids["target_ids"]) + 1
    assert prepared.lengths.source.dtype == prepared.lengths.target.dtype == torch.int32
    assert prepared.report.n_pairs == 42
    assert prepared.report.left_out == {"empty": 1}
    assert prepared.report.lines["empty"] == [41]
    assert sorted(prepared.fingerprints) == sorted(
        f"{split}.{language}" for split in ("train", "val", "test") for language in ("fr", "en")
    )
    assert prepared.vocabulary_message is None
    assert len(prepared.tokenizer) == 400


def test_text_and_tokens_are_memory_mapped(tiny_config: Make) -> None:
    prepared = prepare(tiny_config())
    assert isinstance(prepared.train.data, MemoryMappedTable)
    assert isinstance(prepared.texts.data, MemoryMappedTable)
    assert [file["filename"] for file in prepared.train.cache_files] == [str(prepared.folder / "train.arrow")]
    assert not isinstance(Dataset.from_dict(prepared.train[:]).data, MemoryMappedTable)
    if sys.platform.startswith("linux"):
        maps = Path("/proc/self/maps").read_text()
        assert str(prepared.folder / "lengths.pt") in maps
        assert str(prepared.folder / "report.json") not in maps


def test_the_share_of_lines_with_several_sentences_is_measured(tiny_config: Make, tiny_corpus: Path) -> None:
    assert prepare(tiny_config()).multi_sentence_share == 0
    path = tiny_corpus / "train.fr"
    lines = path.read_text("utf-8").splitlines()
    joined = [f"{line} Il pleut." if n < 4 else line for n, line in enumerate(lines)]
    path.write_text("".join(f"{line}\n" for line in joined), "utf-8")
    assert prepare(tiny_config()).multi_sentence_share == 4 / 40


def test_a_second_call_finds_the_first_ones_work(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(tiny_config("tokenizer.vocabulary_size=5000"))
    stamps = {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()}

    def again(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(Tokenizer, "train", again)
    monkeypatch.setattr(Tokenizer, "encode_batch", again)
    monkeypatch.setattr(tables, "write_tokens", again)
    second = prepare(tiny_config("tokenizer.vocabulary_size=5000"))
    assert second.folder == first.folder
    assert {path.name: path.stat().st_mtime_ns for path in second.folder.iterdir()} == stamps
    assert (second.report, second.fingerprints) == (first.report, first.fingerprints)
    assert second.vocabulary_message == first.vocabulary_message
    assert str(first.vocabulary_message).startswith("tokenizer.vocabulary_size=5000 is more than")
    assert second.train[:] == first.train[:]
    assert texts_of(second) == texts_of(first)
    assert all(map(torch.equal, second.lengths, first.lengths))
    with pytest.raises(AssertionError, match="done again"):  # the control: other work is done
        prepare(tiny_config())


SHAPING = [
    "tokenizer.kind=unigram",
    "tokenizer.vocabulary_size=390",
    "tokenizer.sample_sentences=20",
    "model.max_length=40",
    "train.seed=2",
    "data.max_characters=30",
    "data.max_length_ratio=1.2",
    "data.input_map=null",
    "data.noise.upper=0.1",  # the vocabulary sees it
    "data.held_out={extra: 3}",
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
]
NOT_SHAPING = [
    "tokenizer.dropout=0.1",
    "model.width=32",
    "model.dropout=0.3",
    "train.max_steps=99",
    "train.max_tokens_per_batch=999",
    "search.beam_size=1",
    "run.name=other",
]


def test_what_shapes_a_corpus_has_its_own_folder(tiny_config: Make, tiny_corpus: Path) -> None:
    first = prepare(tiny_config()).folder
    assert {prepare(tiny_config(override)).folder for override in NOT_SHAPING} == {first}
    others = [prepare(tiny_config(override)).folder for override in SHAPING]
    swapped = prepare(tiny_config("data.source_language=en", "data.target_language=fr"))
    assert swapped.texts[0] == {
        "line": 1,
        "source": "The cat is sleeping on the chair.",
        "target": "Le chat dort sur la chaise.",
        "notes": 0,
    }
    append(tiny_corpus, "test", "Oui.", "Yes.")
    changed = prepare(tiny_config()).folder
    assert len({first, swapped.folder, changed, *others}) == len(SHAPING) + 3


def test_where_files_and_cache_lie_does_not_shape_a_corpus(
    tiny_config: Make, tiny_corpus: Path, tmp_path: Path
) -> None:
    first = prepare(tiny_config())
    shutil.copytree(tiny_corpus, tmp_path / "elsewhere")
    moved = prepare(tiny_config(f"data.root={tmp_path / 'elsewhere'}"))
    assert moved.folder == first.folder
    cached = prepare(tiny_config(f"data.cache={tmp_path / 'new'}"))
    assert cached.folder == tmp_path / "new" / first.folder.name
    assert cached.train[:] == first.train[:]


def test_what_only_changes_batches_does_not_shape_a_corpus(tiny_config: Make) -> None:
    first = prepare(tiny_config())
    for override in ("data.copies=0.5", "data.random_names=0.5"):
        assert prepare(tiny_config(override)).folder == first.folder


def test_the_same_configuration_prepares_the_same(tiny_config: Make, tmp_path: Path) -> None:
    overrides = ["tokenizer.sample_sentences=40", "data.held_out={extra: 5}"]
    one = prepare(tiny_config(*overrides))
    other = prepare(tiny_config(*overrides, f"data.cache={tmp_path / 'new'}"))
    for name in ("tokenizer.model", "rows.pt", "lengths.pt", "report.json"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert one.train[:] == other.train[:]
    seeded = prepare(tiny_config(*overrides, "train.seed=2"))
    assert (seeded.folder / "tokenizer.model").read_bytes() != (one.folder / "tokenizer.model").read_bytes()
    assert texts_of(seeded) != texts_of(one)


def test_pairs_of_too_many_pieces_are_left_out_with_their_lines(tiny_config: Make, tiny_corpus: Path) -> None:
    append(tiny_corpus, "train", "", "")
    append(tiny_corpus, "train", MANY_PIECES, "Spelled out, it is long.")
    append(tiny_corpus, "train", "Oui.", "Yes.")
    append(tiny_corpus, "train", "Écrit en lettres, c'est long.", MANY_PIECES)
    prepared = prepare(tiny_config("model.max_length=30"))
    assert int(torch.maximum(*prepared.lengths).max()) <= 30
    report = prepared.report
    assert report.left_out == {"empty": 1, "too_many_pieces": 2}
    assert report.lines["too_many_pieces"] == [42, 44]
    assert report.n_kept == len(prepared.train) == len(prepared.texts)
    assert prepared.texts["line"][:] == [*range(1, 41), 43]
    whole = prepare(tiny_config("model.max_length=64"))
    assert "too_many_pieces" not in whole.report.left_out
    assert {42, 44} <= set(whole.texts["line"])
    saved = json.loads((prepared.folder / "report.json").read_text())
    assert saved["report"]["left_out"] == report.left_out


def test_the_longest_sentence_that_fits_is_kept(tiny_config: Make, tiny_corpus: Path) -> None:
    append(tiny_corpus, "train", MANY_PIECES, "Spelled out, it is long.")
    lengths = prepare(tiny_config()).lengths
    longest = int(torch.maximum(*lengths).max())
    assert longest == lengths.source[40] > lengths.source[:40].max()
    assert len(prepare(tiny_config(f"model.max_length={longest}")).train) == 41
    assert len(prepare(tiny_config(f"model.max_length={longest - 1}")).train) == 40


def test_pairs_of_other_splits_are_left_out(tiny_config: Make, tiny_corpus: Path) -> None:
    append(tiny_corpus, "train", "Ma lampe est bleue.", "My lamp is blue.")  # test
    append(tiny_corpus, "train", "Où est mon chapeau ?", "Where is my hat?")  # val
    append(tiny_corpus, "train", "MA LAMPE EST BLEUE.", "My lamp's blue.")  # test, in another way
    append(tiny_corpus, "test", "", "")  # a test split is whole, whatever is in it
    prepared = prepare(tiny_config())
    assert prepared.report.left_out == {"held_out": 3}
    assert prepared.report.lines["held_out"] == [41, 42, 43]
    test = corpus.open_split(tiny_config().data, "test", seed=1)
    assert test["source"][:] == lines(tiny_corpus / "test.fr")


def test_sources_are_mapped_and_targets_are_not(tiny_config: Make, tiny_corpus: Path) -> None:
    append(tiny_corpus, "train", "\ufeffMa\u00a0lampe est\tbleue.", "My lamp is blue.")  # test
    append(tiny_corpus, "train", "J'aime le cafe\u0301 noir.", "I like black coffee.")  # another time
    append(tiny_corpus, "train", "\u200b", "Blank.")
    append(tiny_corpus, "train", "C’est l’heure.", " It’s\u00a0time.")
    append(tiny_corpus, "val", "C’est fini.", "It’s over.")
    prepared = prepare(tiny_config())
    assert prepared.report.left_out == {"empty": 1, "held_out": 1, "duplicate": 1}
    assert texts_of(prepared)[-1] == ("C'est l'heure.", " It’s\u00a0time.")
    assert prepared.tokenizer.decode(prepared.train[-1]["source_ids"]) == "C'est l'heure."
    val = corpus.open_split(tiny_config().data, "val", seed=1)
    assert (val["source"][-1], val["target"][-1]) == ("C'est fini.", "It’s over.")
    without = prepare(tiny_config("data.input_map=null"))  # the control
    assert without.report.left_out == {}
    assert texts_of(without)[-1] == ("C’est l’heure.", " It’s\u00a0time.")


def test_held_out_pairs_that_stand_twice_are_not_trained_on(tiny_config: Make, tiny_corpus: Path) -> None:
    for language in ("fr", "en"):
        path = tiny_corpus / f"train.{language}"
        path.write_text(path.read_text(encoding="utf-8") * 2, encoding="utf-8", newline="\n")
    config = tiny_config("data.held_out={extra: 10}")
    prepared = prepare(config)
    extra = corpus.open_split(config.data, "extra", seed=config.train.seed)
    held = set(zip(extra["source"], extra["target"], strict=True))
    assert len(extra) == 10
    assert held.isdisjoint(texts_of(prepared))
    assert len(prepared.train) == 40 - len(held)


def test_an_interruption_leaves_nothing_half_written(
    tiny_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((Tokenizer, "train"), (Tokenizer, "encode_batch"), (torch, "save")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                prepare(tiny_config())
        assert folders(tiny_config()) == []
    prepared = prepare(tiny_config())
    assert folders(tiny_config()) == [prepared.folder.name]
    assert sorted(path.name for path in prepared.folder.iterdir()) == [
        "lengths.pt",
        "report.json",
        "rows.pt",
        "sha256.json",
        "tokenizer.model",
        "train.arrow",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, "sha256.json"])
def test_a_damaged_preparation_is_made_anew_with_a_note(
    tiny_config: Make, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = prepare(tiny_config())
    expected = (before.train[:], texts_of(before), [*map(torch.Tensor.tolist, before.lengths)], before.report)
    path, vocabulary = before.folder / name, before.tokenizer.model
    content = path.read_bytes()
    capsys.readouterr()
    some = random.Random(name).sample(range(len(content) - 1), 3)
    damaged = [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in some]
    for broken in (*damaged, content[: some[0]], b"", bytes(len(content)), None):
        path.unlink()
        if broken is not None:
            path.write_bytes(broken)
        after = prepare(tiny_config())
        said = capsys.readouterr().err
        note = "damaged, or written by a version without checksums; it is created again"
        assert said == f"{after.folder}: {note}\n"
        lengths = [*map(torch.Tensor.tolist, after.lengths)]
        assert (after.train[:], texts_of(after), lengths, after.report) == expected
        assert after.tokenizer.model == vocabulary
    prepare(tiny_config())
    assert capsys.readouterr().err == ""
    assert folders(tiny_config()) == [before.folder.name]


def test_what_a_killed_preparation_left_is_removed(tiny_config: Make, tmp_path: Path) -> None:
    for parent in (tmp_path / "cache", tmp_path / "cache" / "arrow"):
        (parent / "partial-abcdefgh" / "whole").mkdir(parents=True)
    prepare(tiny_config())
    assert not list((tmp_path / "cache").rglob("partial-*"))


def test_two_preparations_at_once_end_as_one(tiny_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process finishes while this one is still preparing."""
    train = Tokenizer.train
    other: list[Prepared] = []

    def meanwhile(*arguments: object) -> tuple[Tokenizer, str | None]:
        if not other:
            with monkeypatch.context() as patch:
                patch.setattr(Tokenizer, "train", train)
                other.append(prepare(tiny_config()))
        return train(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Tokenizer, "train", meanwhile)
    prepared = prepare(tiny_config())
    assert prepared.folder == other[0].folder
    assert folders(tiny_config()) == [prepared.folder.name]
    assert prepared.train[:] == other[0].train[:]


def test_no_fit_pair_is_refused_and_leaves_nothing(tiny_config: Make) -> None:
    with pytest.raises(DataError) as caught:
        prepare(tiny_config("data.max_characters=2"))
    assert str(caught.value) == (
        "none of the 40 training pairs is fit for training: a side is longer than data.max_characters: 40 "
        "(lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 …); check that both sides are the right files"
    )
    with pytest.raises(
        DataError, match=r"^every training pair has more than model\.max_length=8 pieces; raise"
    ):
        prepare(tiny_config("model.max_length=8", "data.max_length_ratio=1", "tokenizer.vocabulary_size=330"))
    assert folders(tiny_config()) == []


def test_unequal_files_are_refused_and_leave_nothing(tiny_config: Make, tiny_corpus: Path) -> None:
    with (tiny_corpus / "val.fr").open("a") as file:
        file.write("De trop.\n")
    with pytest.raises(DataError, match=r"val\.fr has 5 lines and .*val\.en has 4; line n of one must"):
        prepare(tiny_config())
    assert folders(tiny_config()) == []


def test_what_was_found_is_said_where_the_vocabulary_cannot_be_built(
    tiny_config: Make, tiny_corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tiny_corpus / "train.fr"
    path.write_text(path.read_text("utf-8").replace("Le chat", "L&apos;ami"), "utf-8")
    with pytest.raises(DataError, match="is below the number of characters"):
        prepare(tiny_config("tokenizer.vocabulary_size=300"))
    assert "noted: text holds an HTML entity" in capfd.readouterr().err
