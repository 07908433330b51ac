"""What the examples on text read: short English sentences of the embedded phrasebook, as ids of words."""

from collections import Counter
from itertools import islice

from torch import Tensor

from translator.alignment.words import words
from translator.data.batching import pad
from translator.data.phrasebook.splits import from_grammar

N_DRAWN, LONGEST, RAREST, N_HELD_OUT = 6000, 9, 7, 300
#: Ids that are no words: those of `translator.symbols`, and the blot of the masked model.
NO_WORDS, BLOT = ["", "", "", "", "___"], 4


def read() -> tuple[Tensor, Tensor, list[str]]:
    """Return sentences to learn from and others, (N, T) int64 padded, and the word of each id.

    A word that is rarely drawn takes its sentences with it, so that none is unknown.
    """
    texts = list(
        dict.fromkeys(tuple(words(example.sentence.en)) for example in islice(from_grammar(), N_DRAWN))
    )
    counts = Counter(word for text in texts for word in text)
    texts = [t for t in texts if len(t) <= LONGEST and all(counts[word] >= RAREST for word in t)]
    vocabulary = NO_WORDS + sorted({word for text in texts for word in text})
    number = {word: i for i, word in enumerate(vocabulary)}
    rows = pad([[number[word] for word in text] for text in texts])
    return rows[N_HELD_OUT:], rows[:N_HELD_OUT], vocabulary
