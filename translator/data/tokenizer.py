"""The tokenizer: a SentencePiece model for both languages. No other module imports `sentencepiece`.

Encoding is lossless: the text is not normalised, and spaces are kept. Characters that are not in the
vocabulary are encoded as bytes, so that there are no unknown tokens. A U+2581 in the text is also encoded as
bytes, because SentencePiece uses this character for spaces.

A text in capitals is encoded as the token `CAPITALS` followed by the tokens of the text in lower case,
because words in the vocabulary are mostly in lower case. This method is called inline casing (Etchegoyhen &
Gete 2020, "To Case or not to Case").
"""

import io
import random
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import sentencepiece

from translator.config import MIN_FOR_DIGIT_PAIRS, TokenizerConfig
from translator.data.lines import replace_surrogates
from translator.errors import DataError, ModelError, is_out_of_memory
from translator.symbols import BOS, EOS, NEVER_EMITTED, PAD, UNK

#: The character that SentencePiece uses for a space in its pieces.
WORD_MARK = "\u2581"
#: The first piece of a text in capitals. The other pieces of such a text are in lower case. Vocabularies of
#: early versions of this project do not have this piece. With such a vocabulary, a text in capitals is
#: encoded as it is.
CAPITALS = "<capitals>"

#: A piece that stands for one byte.
_BYTE = re.compile("<0x[0-9A-F]{2}>")
#: An ASCII control character.
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")

#: Candidates for temporarily replacing U+2581 in a text; one that the text does not contain is used.
#: Noncharacters come first, because Unicode does not intend them for text. Private-use characters follow, for
#: a text that contains all noncharacters. Like U+2581, each candidate has three bytes in UTF-8.
_SUBSTITUTES = [chr(code) for code in (*range(0xFDD0, 0xFDF0), *range(0xE000, 0xF900))]

#: The pieces of one digit, and those of two.
_DIGITS, _DIGIT_PAIRS = [*"0123456789"], [f"{number:02}" for number in range(100)]

#: Maximum length of the lines on which the tokenizer is trained. Longer lines are left out. The default of
#: SentencePiece is 4192 bytes.
_MAX_SAMPLE_BYTES = 16384


class Tokenizer:
    """A SentencePiece model. Several threads may use it at the same time.

    Attributes:
        model: the serialised SentencePiece model.
        capitals: `CAPITALS` if the vocabulary has this piece, else None.
        has_digit_pairs: whether the vocabulary has all pieces of two digits.
    """

    def __init__(self, model: bytes):
        """Load a serialised model.

        Raises:
            ModelError: the bytes are not a SentencePiece model with this project's special tokens.
        """
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, UnicodeDecodeError) as error:
            # A `UnicodeDecodeError` is raised if the error message of SentencePiece is not valid UTF-8.
            if is_out_of_memory(error):
                raise
            raise ModelError(f"tokenizer: not a SentencePiece model: {error}") from None
        self.model = model
        processor = self._processor
        special = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
        if special != (PAD, UNK, BOS, EOS):
            raise ModelError(
                f"tokenizer: special pieces are {special}, not {(PAD, UNK, BOS, EOS)}; "
                "use a vocabulary that this project trained"
            )
        self._bytes = [processor.piece_to_id(f"<0x{value:02X}>") for value in range(256)]
        if UNK in self._bytes:
            raise ModelError("tokenizer: the model has no byte fallback; use one that this project trained")
        self._capitals = [i for i in [processor.piece_to_id(CAPITALS)] if i != UNK]  # one id or none
        self.capitals = CAPITALS if self._capitals else None
        self.has_digit_pairs = all(processor.piece_to_id(pair) != UNK for pair in _DIGIT_PAIRS)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load a model from a file.

        Raises:
            ModelError: the file cannot be read, or the constructor does not accept its content.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def train(cls, sentences: Iterable[str], config: TokenizerConfig) -> tuple["Tokenizer", str | None]:
        """Train a tokenizer.

        Args:
            sentences: texts in both languages.
            config: the kind and the size of the vocabulary.

        Returns:
            The tokenizer, and a message to the user or None. There is a message if the vocabulary is smaller
            than configured because the corpus is too small.

        Raises:
            DataError: there is no usable text, or the texts have so many distinct characters that a
                vocabulary of the configured size cannot hold them.
        """
        sample = [
            s.lower() if _in_capitals(s) else s
            for s in sentences
            if s and "\0" not in s and WORD_MARK not in s
        ]
        if not any(s.strip() for s in sample):
            raise DataError("there is no text to build the vocabulary from; every training pair was left out")
        sample = [s for s in sample if len(s.encode()) <= _MAX_SAMPLE_BYTES]
        if not sample:
            raise DataError(
                f"every line has more than {_MAX_SAMPLE_BYTES:,} bytes, and the vocabulary is built from "
                "shorter ones; split the corpus into sentences, one per line"
            )
        size = config.vocabulary_size
        try:
            return cls(_train(sample, config, size)), None
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            possible = re.search(r"value <= (\d+)", str(error))
            if possible is None:
                raise DataError(_training_problem(str(error), size)) from None
        smaller = int(possible.group(1))
        message = (
            f"tokenizer.vocabulary_size={size} is more than this corpus has pieces for; "
            f"continuing with {smaller}"
        )
        return cls(_train(sample, config, smaller)), message

    def __len__(self) -> int:
        """Return the size of the vocabulary."""
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without `BOS` and `EOS`. A lone surrogate is encoded as U+FFFD."""
        return self.encode_prefix(text, whole=text)

    def encode_prefix(self, text: str, *, whole: str = "") -> list[int]:
        """Return the ids of a prefix of a text.

        Args:
            text: the prefix.
            whole: the whole text. If it is in capitals, the prefix is encoded in lower case, and the id of
                `CAPITALS` is put before its ids. Otherwise, or if `whole` is empty, the prefix is encoded as
                it is.
        """
        text, substitute, case = self._prepare(text, whole)
        return case + self._restore(self._processor.encode(text), substitute)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of several texts; see `encode`."""
        prepared = [self._prepare(text, text) for text in texts]
        encode, plain = self._processor.encode, [text for text, _, _ in prepared]
        # For a list, SentencePiece starts threads, which takes longer than to encode a few texts.
        encoded = encode(plain) if len(plain) > 16 else [encode(text) for text in plain]
        return [
            case + self._restore(ids, substitute)
            for ids, (_, substitute, case) in zip(encoded, prepared, strict=True)
        ]

    def sample_batch(self, texts: Sequence[str], dropout: float, *, seed: int) -> list[list[int]]:
        """Return the ids of a random segmentation of each text, by BPE-dropout (Provilkov et al. 2020).

        As in ordinary BPE, pieces are merged step by step. At each step, every possible merge is ignored
        with probability `dropout`; of the other merges, the one that was learnt first is made. The ids decode
        to the same text as the ids that `encode` returns. The result depends only on the arguments.
        SentencePiece's own sampling is not used, because even with the same seed its results differ between
        processes.

        Args:
            texts: the texts to encode.
            dropout: probability of ignoring a merge. If it is 0, the result is that of `encode_batch`.
            seed: seed of the random number generator.
        """
        generator = random.Random(seed)
        sampled = []
        for text in texts:
            text, substitute, case = self._prepare(text, text)
            # As SentencePiece does, put a word mark at the start, and replace each space with a word mark.
            # The words can be processed one by one, because no merge spans two words.
            marked = (WORD_MARK + text.replace(" ", WORD_MARK)) if text else ""
            words = re.findall(f"{WORD_MARK}[^{WORD_MARK}]*", marked)
            ids = [i for word in words for i in self._sample_word(word, dropout, generator)]
            sampled.append(case + self._restore(ids, substitute))
        return sampled

    def _sample_word(self, word: str, dropout: float, generator: random.Random) -> list[int]:
        pieces = self._units.findall(word)
        while len(pieces) > 1:
            merges = [
                (rank, i)
                for i, (left, right) in enumerate(pairwise(pieces))
                if (rank := self.ordinary.get(left + right)) is not None and generator.random() >= dropout
            ]
            if not merges:
                break
            _, i = min(merges)  # the merge learnt first or, if it is possible in several places, the leftmost
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
        return [i for piece in pieces for i in self.piece_ids(piece)]

    def piece_ids(self, piece: str) -> list[int]:
        """Return the id of a piece or, if the piece is not in the vocabulary, the ids of its bytes."""
        known = self.ordinary.get(piece)
        return [known] if known is not None else [self._bytes[value] for value in piece.encode()]

    @cached_property
    def _units(self) -> re.Pattern[str]:
        """What pieces are merged from: characters and, if the vocabulary has them, pairs of digits."""
        return re.compile("[0-9]{2}|." if self.has_digit_pairs else ".", re.DOTALL)

    @cached_property
    def ordinary(self) -> dict[str, int]:
        """The id of each ordinary piece, which is neither a special token nor a byte.

        In a BPE vocabulary, the order of the ids is the order in which the merges were learnt.
        """
        special = {PAD, UNK, BOS, EOS, *self._capitals, *self._bytes}
        return {self._processor.id_to_piece(i): i for i in range(len(self)) if i not in special}

    def scores(self) -> dict[str, float]:
        """Map each ordinary piece to its score: the better of two merges, or a log-probability, is higher."""
        return {piece: self._processor.get_score(i) for piece, i in self.ordinary.items()}

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that the ids encode, in capitals if the first id is that of `CAPITALS`.

        Special tokens are skipped. Bytes that are not valid UTF-8 become U+FFFD.
        """
        text = str(self._processor.decode([i for i in ids if i not in (PAD, UNK, BOS, EOS)]))
        return text.upper() if self._is_marked(ids) else text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the pieces of the ids, spelt as in the vocabulary."""
        return [self._processor.id_to_piece(i) for i in ids]

    def n_bytes(self, ids: Iterable[int]) -> int:
        """Return how many of the ids stand for one byte."""
        of_byte = set(self._bytes)
        return sum(i in of_byte for i in ids)

    def spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return the span of each id: the (start, end) character offsets of its piece in `decode(ids)`.

        If a character is encoded as several bytes, the id of each byte has the span of the whole character.
        The span of `CAPITALS`, and of the word mark that SentencePiece adds before the text, is empty.
        """
        pieces = [self._content(i) for i in ids]
        # Like SentencePiece, `surrogateescape` decodes each byte that is not valid UTF-8 as one character.
        text = b"".join(pieces).decode("utf-8", "surrogateescape")
        offset = len(self._processor.decode(list(ids))) - len(text)  # -1 if a first word mark was removed
        char_of_byte = [i for i, c in enumerate(text, offset) for _ in c.encode("utf-8", "surrogateescape")]
        spans, n_bytes, end = [], 0, 0
        for piece in pieces:
            characters = char_of_byte[n_bytes : n_bytes + len(piece)]
            start, end = (max(characters[0], 0), characters[-1] + 1) if characters else (end, end)
            spans.append((start, end))
            n_bytes += len(piece)
        return spans

    def _content(self, i: int) -> bytes:
        """Return the text of an id in UTF-8; it is empty for `CAPITALS` and for special tokens."""
        if i in (PAD, UNK, BOS, EOS, *self._capitals):
            return b""
        piece = self._processor.id_to_piece(i)
        if _BYTE.fullmatch(piece):
            return bytes.fromhex(piece[3:5])
        return piece.replace(WORD_MARK, " ").encode()

    @cached_property
    def never_emitted(self) -> list[int]:
        """The ids that decoding must not generate: `PAD`, `BOS`, `UNK` and those of control characters."""
        control = [i for i in range(len(self)) if _CONTROL.search(self._content(i))]
        return sorted({*NEVER_EMITTED, *control})

    def _is_marked(self, ids: Sequence[int]) -> bool:
        return bool(self._capitals) and list(ids[:1]) == self._capitals

    def _prepare(self, text: str, whole: str) -> tuple[str, str, list[int]]:
        """Prepare a text for encoding by SentencePiece.

        Returns:
            The text to encode; a substitute for U+2581, which replaces it in this text, or an empty string;
            and the ids to put before the ids of the text: that of `CAPITALS` if the vocabulary has it and
            `whole` is in capitals. The text to encode is then in lower case.
        """
        case = self._capitals if _in_capitals(whole) else []
        text, substitute = replace_surrogates(text.lower() if case else text), ""
        if WORD_MARK in text:
            unused = (c for c in _SUBSTITUTES if c not in text and self._processor.piece_to_id(c) == UNK)
            substitute = next(unused)
            text = text.replace(WORD_MARK, substitute)
        return text, substitute, case

    def _restore(self, ids: list[int], substitute: str) -> list[int]:
        """Replace, in `ids`, the bytes of the substitute with those of U+2581."""
        if not substitute:
            return ids
        replaced = [self._bytes[value] for value in substitute.encode()]
        replacement = [self._bytes[value] for value in WORD_MARK.encode()]
        restored: list[int] = []
        for i in ids:
            restored.append(i)
            if restored[-3:] == replaced:
                restored[-3:] = replacement
        return restored


def _in_capitals(text: str) -> bool:
    """Return whether a text is in capitals, and can be restored from the same text in lower case."""
    lower = text.lower()
    return text.isupper() and lower != text and len(lower) == len(text) and lower.upper() == text


def _train(sentences: list[str], config: TokenizerConfig, size: int) -> bytes:
    model = io.BytesIO()
    has_pairs = config.digits_per_piece == 2 and size >= MIN_FOR_DIGIT_PAIRS
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type=config.kind,
        vocab_size=size,
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        control_symbols=[CAPITALS],
        byte_fallback=True,
        character_coverage=0.99999,  # capitals such as Z are rare, and a name needs them
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,  # so that a number is read as digits, not as a word that was seldom seen
        user_defined_symbols=_DIGITS + _DIGIT_PAIRS if has_pairs else [],
        max_sentence_length=_MAX_SAMPLE_BYTES,
        minloglevel=2,
    )
    return model.getvalue()


def _training_problem(message: str, size: int) -> str:
    """Turn the error message of a failed SentencePiece training into a message to the user."""
    if "smaller than required_chars" in message:
        return f"tokenizer.vocabulary_size={size} is below the number of characters; try {2 * size}"
    return f"the vocabulary cannot be built: {message.splitlines()[0]}"
