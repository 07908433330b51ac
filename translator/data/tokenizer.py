"""Text to ids and back, by one joint SentencePiece model. The only importer of `sentencepiece`.

The text that goes in comes out again, byte for byte: no normalisation, every space kept, and what the
vocabulary lacks is spelled in bytes, so that no unknown piece is ever produced. SentencePiece uses U+2581
for a space; a U+2581 of the text itself is spelled in bytes too.

A text in capitals becomes `CAPITALS` and its lower case, whose pieces are known: as it stands, nearly every
word of it would be new (inline casing; Etchegoyhen & Gete 2020, "To Case or not to Case").
"""

import io
import random
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import sentencepiece

from translator.config import TokenizerConfig
from translator.errors import DataError, ModelError, is_out_of_memory
from translator.symbols import BOS, EOS, NEVER_EMITTED, PAD, UNK

WORD_MARK = "\u2581"
#: Piece that says: what follows is in capitals. A tokenizer from before there was one has none.
CAPITALS = "<capitals>"

#: A piece that is one byte of a character.
_BYTE = re.compile("<0x[0-9A-F]{2}>")

#: One that the text lacks stands in for U+2581: noncharacters (never text, by the Unicode standard), and,
#: should a text hold them all, private use. All are of three bytes, as U+2581 is.
_STAND_INS = [chr(code) for code in (*range(0xFDD0, 0xFDF0), *range(0xE000, 0xF900))]

#: Longer lines are left out of the vocabulary's sample (SentencePiece's own limit is 4192 bytes).
_MAX_SAMPLE_BYTES = 16384


class Tokenizer:
    """A SentencePiece model, safe to use from several threads."""

    def __init__(self, model: bytes):
        """Load a serialised model.

        Raises:
            ModelError: the bytes are no SentencePiece model, or its special pieces are not ours.
        """
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, UnicodeDecodeError) as error:  # the second quotes what is no UTF-8
            if is_out_of_memory(error):
                raise
            raise ModelError(f"tokenizer: no SentencePiece model: {error}") from None
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
        self._capitals = [i for i in [processor.piece_to_id(CAPITALS)] if i != UNK]
        self.capitals = CAPITALS if self._capitals else None  # older vocabularies have none

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Load a model from a file.

        Raises:
            ModelError: the file cannot be read or is no such model.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def train(cls, sentences: Iterable[str], config: TokenizerConfig) -> tuple["Tokenizer", str | None]:
        """Build a vocabulary.

        Args:
            sentences: text of both languages, mixed.
            config: kind and wished size.

        Returns:
            The tokenizer, and a message where the corpus was too small for the wished size.

        Raises:
            DataError: there is no text, or more different characters than pieces.
        """
        sample = [_lowered(s) or s for s in sentences if s and "\0" not in s and WORD_MARK not in s]
        if not any(s.strip() for s in sample):
            raise DataError("the vocabulary has no text to learn from; every training pair was left out")
        sample = [s for s in sample if len(s.encode()) <= _MAX_SAMPLE_BYTES]
        if not sample:
            raise DataError(
                f"every line has more than {_MAX_SAMPLE_BYTES:,} bytes, and the vocabulary is learnt from "
                "shorter ones; cut the corpus into sentences, one a line"
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
            f"going on with {smaller}"
        )
        return cls(_train(sample, config, smaller)), message

    def __len__(self) -> int:
        """V: the number of pieces."""
        return int(self._processor.get_piece_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end symbols; lone surrogates become U+FFFD."""
        return self.encode_prefix(text, whole=text)

    def encode_prefix(self, text: str, *, whole: str = "") -> list[int]:
        """Return the ids of how a text begins, with `CAPITALS` only if the whole is known to have it."""
        _, case = self._split_case(whole)
        text, mark = self._stand_in(text.lower() if case else text)
        return case + self._restore(self._processor.encode(text), mark)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of several texts; see `encode`. Threads begin for it: many texts are worth them."""
        given = [self._prepare(text) for text in texts]
        encoded = self._processor.encode([text for text, _, _ in given])
        return [case + self._restore(ids, mark) for ids, (_, mark, case) in zip(encoded, given, strict=True)]

    def sample_batch(self, texts: Sequence[str], dropout: float, *, seed: int) -> list[list[int]]:
        """Return a random segmentation of each text, for training; it decodes to the same text.

        BPE-dropout (Provilkov et al. 2020): pieces are merged in the vocabulary's order, and each possible
        merge is left out with some probability, drawn anew at every step. The result depends on `seed`
        alone; SentencePiece's own sampling differs from process to process, whatever its seed.

        Args:
            texts: what to cut into pieces.
            dropout: probability of leaving out a merge; 0 gives what `encode_batch` gives.
            seed: of the draw.
        """
        draw = random.Random(seed)
        sampled = []
        for text in texts:
            text, mark, case = self._prepare(text)
            # As SentencePiece sees it: a mark before the text and for every space; no merge crosses one.
            marked = (WORD_MARK + text.replace(" ", WORD_MARK)) if text else ""
            words = re.findall(f"{WORD_MARK}[^{WORD_MARK}]*", marked)
            ids = [i for word in words for i in self._sample_word(word, dropout, draw)]
            sampled.append(case + self._restore(ids, mark))
        return sampled

    def _sample_word(self, word: str, dropout: float, draw: random.Random) -> list[int]:
        pieces = list(word)
        while len(pieces) > 1:
            merges = [
                (rank, place)
                for place, (left, right) in enumerate(pairwise(pieces))
                if (rank := self._rank.get(left + right)) is not None and draw.random() >= dropout
            ]
            if not merges:
                break
            _, place = min(merges)  # the earliest learnt, then the leftmost
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        return [i for piece in pieces for i in self._spell(piece)]

    def _spell(self, piece: str) -> list[int]:
        """The id of a piece, or those of its bytes where the vocabulary lacks it."""
        known = self._rank.get(piece)
        return [known] if known is not None else [self._bytes[value] for value in piece.encode()]

    @cached_property
    def _rank(self) -> dict[str, int]:
        """Piece → id of all ordinary pieces; in a BPE vocabulary the ids are in the order of the merges."""
        special = {PAD, UNK, BOS, EOS, *self._capitals, *self._bytes}
        return {self._processor.id_to_piece(i): i for i in range(len(self)) if i not in special}

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special pieces, in capitals after `CAPITALS`; no UTF-8 is U+FFFD."""
        text = str(self._processor.decode([i for i in ids if i not in (PAD, UNK, BOS, EOS)]))
        return text.upper() if self._is_marked(ids) else text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return each id's piece as it stands in the vocabulary, for people to look at."""
        return [self._processor.id_to_piece(i) for i in ids]

    def spans(self, text: str, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return where in a text each of its ids stands: from this character to before that one.

        Marks before the text have an empty place. The pieces of a character that is spelled in bytes have
        that character's place, each of them.

        Args:
            text: as it was encoded.
            ids: of the text, by `encode` or any other segmentation of it.

        Raises:
            ValueError: the ids are not of this text.
        """
        if self._is_marked(ids):
            return [(0, 0), *self.spans(text.lower(), ids[1:])]
        owners = [-1]  # the character that each byte belongs to; the mark before the text is none of it
        for place, character in enumerate(text):
            owners += [place] * len(_as_utf8(character).encode())
        spans, start = [], 0
        for piece in self.pieces(ids):
            end = start + (1 if _BYTE.fullmatch(piece) else len(piece.replace(WORD_MARK, " ").encode()))
            within = owners[start:end]
            if not within:
                raise ValueError(f"piece {piece!r} stands beyond the end of the text")
            spans.append((max(within[0], 0), within[-1] + 1))
            start = end
        if ids and start != len(owners):
            raise ValueError(f"the pieces have {start - 1} bytes and the text {len(owners) - 1}")
        return spans

    @cached_property
    def never_emitted(self) -> list[int]:
        """Ids that no search may choose: padding, start, unknown, any piece with a control character."""
        spelled = [self._bytes[value] for value in range(256) if _is_control(value)]
        named = [i for i in range(len(self)) if any(_is_control(ord(c)) for c in self.pieces([i])[0])]
        return sorted({*NEVER_EMITTED, *spelled, *named})

    def _prepare(self, text: str) -> tuple[str, str, list[int]]:
        """What SentencePiece is given of a text, its stand-in for U+2581, and the mark of its case."""
        text, case = self._split_case(text)
        return *self._stand_in(text), case

    def _split_case(self, text: str) -> tuple[str, list[int]]:
        """A text in capitals as its lower case and the mark for it; any other as it is."""
        lowered = _lowered(text) if self._capitals else None
        return (text, []) if lowered is None else (lowered, self._capitals)

    def _is_marked(self, ids: Sequence[int]) -> bool:
        return bool(self._capitals) and list(ids[:1]) == self._capitals

    def _stand_in(self, text: str) -> tuple[str, str]:
        """Swap U+2581 for a character that neither the text nor the vocabulary has; return both."""
        text = _as_utf8(text)
        if WORD_MARK not in text:
            return text, ""
        mark = next(c for c in _STAND_INS if c not in text and self._processor.piece_to_id(c) == UNK)
        return text.replace(WORD_MARK, mark), mark

    def _restore(self, ids: list[int], mark: str) -> list[int]:
        if not mark:
            return ids
        theirs = [self._bytes[value] for value in mark.encode()]
        ours = [self._bytes[value] for value in WORD_MARK.encode()]
        restored: list[int] = []
        for i in ids:
            restored.append(i)
            if restored[-3:] == theirs:
                restored[-3:] = ours
        return restored


def _lowered(text: str) -> str | None:
    """The lower case of a text in capitals, as long as it; None where upper-casing would not restore it."""
    lower = text.lower() if text.isupper() else text
    return lower if lower != text and len(lower) == len(text) and lower.upper() == text else None


def _as_utf8(text: str) -> str:
    """The text as it can be written in UTF-8: lone surrogates become U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _is_control(code: int) -> bool:
    """Whether a code below U+0080 is a control character; as a byte piece, all others spell text."""
    return code < 0x20 or code == 0x7F


def _train(sentences: list[str], config: TokenizerConfig, size: int) -> bytes:
    model = io.BytesIO()
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
        character_coverage=0.9995,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,  # a number that was never met is copied digit by digit
        max_sentence_length=_MAX_SAMPLE_BYTES,
        minloglevel=2,
    )
    return model.getvalue()


def _training_problem(message: str, size: int) -> str:
    if "smaller than required_chars" in message:
        return f"tokenizer.vocabulary_size={size} is below the number of characters; try {2 * size}"
    return f"the vocabulary cannot be built: {message.splitlines()[0]}"
