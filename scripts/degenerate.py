"""Degenerate corpora for scripts/faults.py. Training may succeed or fail with a clear error."""

from trials import Trials

#: Training pairs by the kind of defect. The validation and test splits have no defects.
CORPORA: dict[str, list[tuple[str, str]]] = {
    "empty": [],
    "one pair": [("Bonjour.", "Hello.")],
    "two pairs": [("Bonjour.", "Hello."), ("Merci.", "Thanks.")],
    "equal pairs": [("Le chat dort.", "The cat sleeps.")] * 500,
    "blank lines": [("", "")] * 500,
    "one empty side": [(f"Ligne {n}.", "") for n in range(500)],
    "one long line": [("Le chat dort. " * 20_000, "The cat sleeps. " * 20_000)],
    "punctuation": [("?!… " * (n % 7 + 1), "?!." * (n % 5 + 1)) for n in range(500)],
    "emoji": [("😀🎉" * (n % 9 + 1), "🐈🚀" * (n % 9 + 1)) for n in range(500)],
    "one character": [("a", "b")] * 500,
    "digits": [(str(n * 7919), str(n * 104_729)) for n in range(500)],
    "one word 10,000 times": [("chat " * 10_000, "cat")] * 50,
    "copies": [(f"La ligne {n}.", f"La ligne {n}.") for n in range(500)],
    "no word twice": [(f"{n:x}é{n * n:x}", f"{n:o}z{n * n:o}") for n in range(500)],
    "control characters": [("\x00\x01\x07" * (n % 5 + 1), "\x7f\x1b[0m") for n in range(500)],
}


def train_on_little(trials: Trials, number: int) -> str:
    here = trials.fresh()
    pairs = [*CORPORA.values()][number % len(CORPORA)]
    for side, language in enumerate(("fr", "en")):
        text = "".join(pair[side] + "\n" for pair in pairs)
        (here / "corpus" / f"train.{language}").write_text(text, encoding="utf-8", newline="\n")
    return trials.start("train").wait().failure() or "trained"
