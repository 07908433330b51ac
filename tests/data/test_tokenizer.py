"""The tokenizer: lossless, without unknown tokens, and without control characters in its output."""

import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from translator.config import TokenizerConfig
from translator.data.phrasebook import splits
from translator.data.tokenizer import CAPITALS, WORD_MARK, Tokenizer
from translator.errors import DataError, ModelError
from translator.symbols import BOS, EOS, PAD, UNK

FRENCH = ["« L’œuf », dit-elle\u00a0!", "Où ça\u202f? 3\u00a0€ l'un", "tab\tfin", "deux\nlignes", "\ufdd0 é"]
KINDS: tuple[Literal["bpe", "unigram"], ...] = ("bpe", "unigram")


def sentences() -> list[str]:
    drawn = [example.sentence for example in islice(splits.from_grammar(), 300)]
    return [text for sentence in drawn for text in (sentence.fr, sentence.en)] + FRENCH * 20 + ["1987 5"] * 20


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    made = {}
    for kind in KINDS:
        config = TokenizerConfig(kind=kind, vocabulary_size=500)
        made[kind], message = Tokenizer.train(sentences(), config)
        assert message is None
        assert len(made[kind]) == 500
    pairs = TokenizerConfig(vocabulary_size=600, digits_per_piece=2)
    made["bpe with digit pairs"], _ = Tokenizer.train(sentences(), pairs)
    return made


HARD = "\u2581\u2581  \ufdd0\ufdd1\ufdef\0\r\n\t\u2028\x85"
HARD += "œŒ«»\u00a0\u202f’'éÉe\u0301ﬁ½Ａ😀\u200d\ufeff\ufffd<>0xA"
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.one_of(st.sampled_from(HARD), st.characters(exclude_categories=["Cs"]))),
    st.text(st.one_of(st.sampled_from(HARD), st.characters(exclude_categories=["Cs"]))).map(str.upper),
    st.lists(st.sampled_from([*FRENCH, *" \u2581", "  ", "Le chat", "<s>", "</s>", "<unk>", "<0x0A>"])).map(
        "".join
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXT)
@settings(max_examples=300)
def test_text_comes_out_as_it_went_in(tokenizers: dict[str, Tokenizer], kind: str, text: str) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert set(ids).isdisjoint({PAD, UNK, BOS, EOS})
    assert all(0 <= i < len(tokenizer) for i in ids)
    sampled = tokenizer.sample_batch([text], 0.5, seed=3)[0]
    assert tokenizer.decode(sampled) == text
    assert set(sampled).isdisjoint({PAD, UNK, BOS, EOS})


@pytest.mark.parametrize("kind", KINDS)
def test_every_stand_in_and_the_word_mark_at_once(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    text = "".join(chr(code) for code in range(0xFDD0, 0xFDF0)) + f" {WORD_MARK}{WORD_MARK} "
    assert tokenizers[kind].decode(tokenizers[kind].encode(text)) == text


def test_sentencepiece_as_it_comes_would_change_text() -> None:
    """The control of the round trip: it fails with SentencePiece's defaults."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()),
        model_writer=model,
        vocab_size=500,
        byte_fallback=True,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    for text in (" x", "x  y", "ﬁn", "e\u0301", "\u00a0", "a\u2581b"):
        assert processor.decode(processor.encode(text)) != text


def test_a_batch_is_each_text_by_itself(tokenizers: dict[str, Tokenizer]) -> None:
    texts = ["", "Le chat.", "a\u2581b", " ", "\ufdd0\u2581", *sentences()[:20]]
    tokenizer = tokenizers["bpe"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode("") == []
    assert "".join(tokenizer.pieces(tokenizer.encode("Le chat"))) == "\u2581Le\u2581chat"


@pytest.mark.parametrize("text", ["LE CHAT DORT.", "A", "« L'ŒUF », 3 €\u00a0!", "\ud800É\u2581"])
def test_capitals_are_a_mark_and_the_pieces_of_their_lower_case(
    tokenizers: dict[str, Tokenizer], text: str
) -> None:
    tokenizer = tokenizers["bpe"]
    ids = tokenizer.encode(text)
    assert tokenizer.pieces(ids[:1]) == [CAPITALS]
    assert ids[1:] == tokenizer.encode(text.lower())
    assert tokenizer.sample_batch([text], 0.0, seed=1) == tokenizer.encode_batch([text]) == [ids]
    assert tokenizer.spans(ids) == [(0, 0), *tokenizer.spans(ids[1:])]
    # A prefix in capitals may continue in lower case, so it is only marked if the whole text is given.
    assert CAPITALS not in tokenizer.pieces(tokenizer.encode_prefix(text))
    assert tokenizer.encode_prefix(text, whole=text) == ids
    assert tokenizer.encode_prefix("", whole=text) == ids[:1]
    assert tokenizer.encode_prefix(text, whole=f"{text}a") == tokenizer.encode_prefix(text)


@pytest.mark.parametrize("text", ["", "3,50 €", "Le chat", "LE CHAT d'or", "STRAẞE", "ℝ", "ﬁn", "ΑΓΆΠΗ ŉ"])
def test_other_texts_have_no_such_mark(tokenizers: dict[str, Tokenizer], text: str) -> None:
    tokenizer = tokenizers["bpe"]
    assert CAPITALS not in tokenizer.pieces(tokenizer.encode(text))
    assert CAPITALS not in tokenizer.pieces(tokenizer.encode(f"{CAPITALS}{text}"))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_vocabulary_from_before_the_mark_spells_capitals() -> None:
    options = {"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS, "byte_fallback": True}
    tokenizer = Tokenizer(foreign(vocab_size=300, normalization_rule_name="identity", **options))
    assert tokenizer.capitals is None
    assert tokenizer.decode(tokenizer.encode("LE CHAT")) == "LE CHAT"
    assert tokenizer.encode("LE CHAT") == tokenizer.encode_prefix("LE CHAT") != tokenizer.encode("le chat")


def test_special_pieces_are_left_out_of_text(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["bpe"]
    ids = tokenizer.encode("Le chat")
    assert tokenizer.decode([BOS, *ids, EOS, PAD, PAD]) == "Le chat"
    assert tokenizer.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    # The names of special tokens are ordinary text when they occur in a text.
    assert set(tokenizer.encode("<pad><s></s><unk>")).isdisjoint({PAD, UNK, BOS, EOS})


def test_bytes_that_are_no_utf8_become_replacement_characters(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["bpe"]
    byte = tokenizer.encode("\u4e2d")[-3:]  # a character that the vocabulary spells in three bytes
    assert tokenizer.pieces(byte) == ["<0xE4>", "<0xB8>", "<0xAD>"]
    assert tokenizer.decode(byte[:2]).strip("\ufffd") == ""
    assert tokenizer.decode(byte[:2]) != ""
    tokenizer.decode(byte[1:]).encode("utf-8")
    assert tokenizer.decode(tokenizer.encode("a\ud800\ud800b")) == "a\ufffd\ufffdb"  # one each


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_may_be_emitted_has_no_control_character(
    tokenizers: dict[str, Tokenizer], kind: str, data: st.DataObject
) -> None:
    tokenizer = tokenizers[kind]
    allowed = sorted(set(range(len(tokenizer))) - set(tokenizer.never_emitted))
    text = tokenizer.decode(data.draw(st.lists(st.sampled_from(allowed), max_size=30)))
    assert [c for c in text if ord(c) < 0x20 or ord(c) == 0x7F] == []
    text.encode("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_never_emitted_is_all_of_that_and_no_more(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = tokenizers[kind]
    never = tokenizer.never_emitted
    assert never == sorted(set(never))
    assert {PAD, UNK, BOS} <= set(never)
    assert EOS not in never
    pieces = tokenizer.pieces(range(len(tokenizer)))
    controls = [f"<0x{value:02X}>" for value in (*range(0x20), 0x7F)]
    with_break = [piece for piece in pieces if "\n" in piece or "\t" in piece]
    assert with_break  # the training text had some
    assert set(controls) | set(with_break) | {"<pad>", "<unk>", "<s>"} == {pieces[i] for i in never}
    # The control: with one of them allowed, an output may have a line break.
    assert "\n" in tokenizer.decode([*tokenizer.encode("a"), pieces.index("<0x0A>")])


@pytest.mark.parametrize("kind", ["bpe", "bpe with digit pairs"])
def test_sampling_without_dropout_is_encoding(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    texts = [*sentences(), "", " a  b ", "x\u2581y \u2581", "\U0001f600 <s> </s> <unk> <0x41>", "a\0b\n"]
    texts += ["198", "1987 98765432 1 23", "0102030405 9 90", "a1b23c456"]
    usual = tokenizers[kind].encode_batch(texts)
    assert tokenizers[kind].sample_batch(texts, 0.0, seed=1) == usual
    assert tokenizers[kind].sample_batch(texts, 0.01, seed=1) != usual  # the control


def test_digits_are_read_one_by_one_or_in_pairs(tokenizers: dict[str, Tokenizer]) -> None:
    for kind, expected in (("bpe", ["1", "9", "8", "7", "5"]), ("bpe with digit pairs", ["19", "87", "5"])):
        tokenizer = tokenizers[kind]
        ids = tokenizer.encode("19875")
        assert tokenizer.pieces(ids) == [WORD_MARK, *expected]
        assert tokenizer.decode(ids) == "19875"
        sampled = tokenizer.sample_batch(["19875"] * 5, 0.5, seed=2)
        assert [tokenizer.pieces(ids) for ids in sampled] == [[WORD_MARK, *expected]] * 5
    assert [tokenizers[kind].has_digit_pairs for kind in tokenizers] == [False, False, True]


def test_sampling_is_the_same_in_another_process(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    tokenizer, texts = tokenizers["bpe"], sentences()[:50]
    (tmp_path / "model").write_bytes(tokenizer.model)
    code = (
        "import json, sys; from pathlib import Path; from translator.data.tokenizer import Tokenizer\n"
        "print(json.dumps(Tokenizer.load(Path(sys.argv[1])).sample_batch(json.load(sys.stdin), 0.3, seed=7)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == tokenizer.sample_batch(texts, 0.3, seed=7)


def test_sampling_depends_on_the_seed_alone(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer, texts = tokenizers["bpe"], sentences()[:200]
    once = tokenizer.sample_batch(texts, 0.3, seed=7)
    assert tokenizer.sample_batch(texts, 0.3, seed=8) != once
    assert tokenizer.sample_batch(texts[5:], 0.3, seed=7) != once[5:]
    with ThreadPoolExecutor(2) as pool:
        elsewhere = pool.submit(tokenizer.sample_batch, texts, 0.3, seed=7)
        assert elsewhere.result() == once
    assert tokenizer.sample_batch(texts, 0.3, seed=7) == once
    assert Tokenizer(tokenizer.model).sample_batch(texts, 0.3, seed=7) == once
    assert once != tokenizer.encode_batch(texts)
    assert [tokenizer.decode(ids) for ids in once] == texts
    assert tokenizer.sample_batch([], 0.3, seed=7) == []


def test_more_dropout_gives_more_pieces(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer, texts = tokenizers["bpe"], sentences()[:200]

    def n_pieces(dropout: float) -> int:
        return sum(map(len, tokenizer.sample_batch(texts, dropout, seed=1)))

    assert sum(map(len, tokenizer.encode_batch(texts))) == n_pieces(0.0)
    assert n_pieces(0.0) < n_pieces(0.1) < n_pieces(0.5) < n_pieces(0.9)


def test_encoding_is_not_changed_by_sampling(tokenizers: dict[str, Tokenizer]) -> None:
    for tokenizer in tokenizers.values():
        before = tokenizer.encode_batch(sentences()[:50])
        tokenizer.sample_batch(sentences()[:50], 0.5, seed=1)
        assert tokenizer.encode_batch(sentences()[:50]) == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_vocabulary_shrinks_with_a_message(kind: Literal["bpe", "unigram"]) -> None:
    few = ["le chat dort", "the cat is sleeping"]
    tokenizer, message = Tokenizer.train(few, TokenizerConfig(kind=kind, vocabulary_size=4000))
    assert message == (
        "tokenizer.vocabulary_size=4000 is more than this corpus has pieces for; "
        f"continuing with {len(tokenizer)}"
    )
    assert 261 < len(tokenizer) < 400
    assert tokenizer.decode(tokenizer.encode("dort ! 😀")) == "dort ! 😀"


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_comes_of_almost_any_text(kind: Literal["bpe", "unigram"]) -> None:
    draw = random.Random(1)
    for alphabet in ("a", "ab ", "éœ«»\u00a0", "\n\t a", f"{WORD_MARK}a ", "ab\0", "中文字 "):
        texts = ["".join(draw.choices(alphabet, k=draw.choice([1, 5, 60]))) for _ in range(30)]
        tokenizer, _ = Tokenizer.train([*texts, "x"], TokenizerConfig(kind=kind, vocabulary_size=8000))
        assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts


@pytest.mark.parametrize("texts", [[], ["", "  ", "\n"], ["a\0b", f"a{WORD_MARK}b"]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Tokenizer.train(iter(texts), TokenizerConfig())
    assert str(caught.value) == (
        "there is no text to build the vocabulary from; every training pair was left out"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_below_the_characters_is_refused(kind: Literal["bpe", "unigram"]) -> None:
    texts = ["".join(map(chr, range(0x4E00, 0x4E00 + 100)))] * 3
    with pytest.raises(DataError) as caught:
        Tokenizer.train(texts, TokenizerConfig(kind=kind, vocabulary_size=300))
    assert str(caught.value) == "tokenizer.vocabulary_size=300 is below the number of characters; try 600"
    assert len(Tokenizer.train(texts, TokenizerConfig(kind=kind, vocabulary_size=600))[0]) > 360


def test_the_same_text_gives_the_same_vocabulary(tokenizers: dict[str, Tokenizer], tmp_path: Path) -> None:
    for kind in KINDS:
        config = TokenizerConfig(kind=kind, vocabulary_size=500)
        again, _ = Tokenizer.train(sentences(), config)
        assert again.pieces(range(500)) == tokenizers[kind].pieces(range(500))
        other, _ = Tokenizer.train(sentences()[:200], config)
        assert other.pieces(range(len(other))) != again.pieces(range(500))
    path = tmp_path / "tokenizer.model"
    path.write_bytes(tokenizers["bpe"].model)
    assert Tokenizer.load(path).encode("Le chat") == tokenizers["bpe"].encode("Le chat")


def foreign(**options: Any) -> bytes:
    model = io.BytesIO()
    texts: Iterator[str] = iter(["le chat dort", "the cat sleeps"] * 10)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts, model_writer=model, minloglevel=2, hard_vocab_limit=False, **options
    )
    return model.getvalue()


def test_a_foreign_model_is_refused(tmp_path: Path, tokenizers: dict[str, Tokenizer]) -> None:
    with pytest.raises(ModelError) as caught:
        Tokenizer(foreign(vocab_size=30))
    assert str(caught.value) == (
        "tokenizer: special pieces are (-1, 0, 1, 2), not (0, 1, 2, 3); "
        "use a vocabulary that this project trained"
    )
    ours = {"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS}
    with pytest.raises(ModelError, match=r"^tokenizer: the model has no byte fallback; use one that"):
        Tokenizer(foreign(vocab_size=30, **ours))
    no_utf8 = tokenizers["bpe"].model.replace(b"<0x0A>", b"<0x\x90A>")
    for damaged in (b"no model", b"\0" * 100, no_utf8):
        with pytest.raises(ModelError, match=r"^tokenizer: not a SentencePiece model: "):
            Tokenizer(damaged)
    with pytest.raises(ModelError, match=r"no\.model: cannot be read: No such file or directory$"):
        Tokenizer.load(tmp_path / "no.model")


def rebuilt(tokenizer: Tokenizer, text: str, ids: list[int]) -> str:
    """Rebuild a text from the spans of its ids, using repeated spans once."""
    spans = tokenizer.spans(ids)
    assert len(spans) == len(ids)
    assert all(start <= end for start, end in spans)
    assert spans == sorted(spans)
    once = [span for n, span in enumerate(spans) if n == 0 or span != spans[n - 1]]
    return "".join(text[start:end] for start, end in once)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXT)
@settings(max_examples=100)
def test_ids_know_their_place_in_the_text(tokenizers: dict[str, Tokenizer], kind: str, text: str) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode(text)
    assert rebuilt(tokenizer, text, ids) == text
    assert rebuilt(tokenizer, text, tokenizer.sample_batch([text], 0.5, seed=1)[0]) == text


def test_a_piece_stands_where_its_letters_are(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["bpe"]
    text = "Le \ud800chat\u2581 œ😀"
    ids = tokenizer.encode(text)
    for piece, (start, end) in zip(tokenizer.pieces(ids), tokenizer.spans(ids), strict=True):
        if not piece.startswith("<0x"):
            assert text[start:end] == piece.replace(WORD_MARK, " ").removeprefix(" " * (start == 0))
    places = tokenizer.spans(ids)
    assert places.count((len(text) - 1, len(text))) == 4  # a byte each
    assert tokenizer.spans([]) == []


def test_any_ids_have_a_place_in_the_text_that_they_decode_to(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["bpe"]
    lead, mid, space = (tokenizer._bytes[value] for value in (0xF0, 0x9F, 0x20))
    ids = [lead, mid, *tokenizer.encode("chat"), EOS, mid]  # bytes that are not UTF-8
    text, spans = tokenizer.decode(ids), tokenizer.spans(ids)
    assert text == "\ufffd\ufffd chat\ufffd"
    assert [*spans[:2], *spans[-2:]] == [(0, 1), (1, 2), (7, 7), (7, 8)]
    assert "".join(text[start:end] for start, end in spans) == text
    assert tokenizer.decode([space]) == " "
    assert tokenizer.spans([space]) == [(0, 1)]


def test_a_corpus_of_overlong_lines_is_refused_by_what_is_wrong() -> None:
    with pytest.raises(DataError) as caught:
        Tokenizer.train(["mot " * 5000, "é" * 9000], TokenizerConfig())
    assert str(caught.value) == (
        "every line has more than 16,384 bytes, and the vocabulary is built from shorter ones; split the "
        "corpus into sentences, one per line"
    )
