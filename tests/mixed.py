"""A second corpus beside `tiny_corpus`, ten times its size, and the overrides that mix the two by weight."""

from pathlib import Path

N_OTHER = 400

#: Overrides for `tiny_config`. `own` is `tiny_corpus`; `other` is what `write_other` writes.
MIXED = (
    "data.format=phrasebook",  # the default, so that the sources have their own
    "data.files={}",
    "data.sources=["
    "{name: own, weight: 7, format: text,"
    " files: {train: 'train.{lang}', val: 'val.{lang}', test: 'test.{lang}'}},"
    "{name: other, weight: 3, format: tsv, files: {train: other.tsv},"
    " held_out: {val: 5, test: 6, extra: 3}}]",
)


def write_other(corpus: Path) -> None:
    """Write `other.tsv`, whose columns are named, into the folder of a corpus."""
    colours = [("rouges", "red"), ("verts", "green"), ("gris", "grey"), ("noirs", "black")]
    pairs = [
        (f"Je vois {n} trains {fr}.", f"I see {n} {en} trains.") for n in range(1, 101) for fr, en in colours
    ]
    text = "".join(f"{fr}\t{en}\n" for fr, en in [("fr", "en"), *pairs])
    (corpus / "other.tsv").write_text(text, encoding="utf-8", newline="\n")
