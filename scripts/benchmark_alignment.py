"""Compare word aligners on the phrasebook: a diagonal baseline, eflomal, and a model's attention.

python scripts/benchmark_alignment.py MODEL [--reverse-model MODEL] [--split test] [--readings]

MODEL translates French to English, and the reverse model English to French; both are trained on the
phrasebook. eflomal (Östling & Tiedemann 2016) is a statistical aligner. The script trains it on the words of
the training pairs and of the pairs to align, and combines its two directions by grow-diag-final-and. `make
.peers/eflomal/.installed` creates its environment, which requires a C compiler. --readings compares all
layers and readings on `val`; our defaults were chosen from that table.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, print_table

from translator.alignment.links import Gold, LinkScores, grow_diagonal, link_scores, parse_links
from translator.alignment.words import words
from translator.data import phrasebook
from translator.translation.aligner import Aligner
from translator.translation.evaluator import evaluate_alignments
from translator.translation.inference import Translator

EFLOMAL = ROOT / ".peers" / "eflomal" / "bin"
HEADS = " | precision % | recall % | AER % | links"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--reverse-model", type=Path)
    parser.add_argument("--split", choices=("val", "test", "test_compositional"), default="test")
    parser.add_argument("--readings", action="store_true", help="every layer and reading, on val")
    arguments = parser.parse_args()
    translator = Translator.load(arguments.model)
    split = "val" if arguments.readings else arguments.split
    links = list(phrasebook.alignments(split))  # hand-written sentences have no links
    pairs = [pair for pair, line in zip(phrasebook.pairs(split), links, strict=True) if line]
    sources, targets = [pair["fr"] for pair in pairs], [pair["en"] for pair in pairs]
    gold = [
        parse_links(line, where=f"{split}:{number}")
        for number, line in enumerate(filter(None, links), start=1)
    ]
    if arguments.readings:
        print_table(f"`val`{HEADS}", readings(translator, sources, targets, gold))
        return
    reverse = None if arguments.reverse_model is None else Translator.load(arguments.reverse_model)
    ours = evaluate_alignments(Aligner(translator, reverse=reverse), sources, targets, gold=gold)
    lines = [row("the diagonal", ours.pop("diagonal"))]
    if (EFLOMAL / "eflomal-align").is_file():
        lines += eflomal(sources, targets, gold)
    else:
        print(
            "eflomal: not installed; `make .peers/eflomal/.installed` creates its environment",
            file=sys.stderr,
        )
    names = {"one_way": "attention, fr → en", "both_ways": "attention, both ways, grow-diag"}
    lines += [row(names[way], scores) for way, scores in ours.items()]
    print_table(f"`{split}`{HEADS}", lines)


def row(name: str, scores: LinkScores) -> list[str]:
    fractions = (scores.precision, scores.recall, scores.aer)
    return [name, *(f"{100 * fraction:.2f}" for fraction in fractions), f"{scores.n_links:,}"]


def readings(
    translator: Translator, sources: list[str], targets: list[str], gold: list[Gold]
) -> list[list[str]]:
    lines = []
    for layer in (*range(1, translator.config.model.n_decoder_layers + 1), None):
        for reading in ("output", "input"):
            aligner = Aligner(translator, layer=layer, reading=reading)
            layers = f"layer{'s' * (len(aligner.layers) > 1)} {' and '.join(map(str, aligner.layers))}"
            name = f"{layers}, when a word is the decoder's {reading}"
            lines.append(row(name, evaluate_alignments(aligner, sources, targets, gold=gold)["one_way"]))
    return lines


def eflomal(sources: list[str], targets: list[str], gold: list[Gold]) -> list[list[str]]:
    """Train eflomal on the training pairs and the given ones, and score its links of the given ones."""
    train = list(phrasebook.pairs("train"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for language, texts in (("fr", sources), ("en", targets)):
            corpus = [*(pair[language] for pair in train), *texts]
            lines = "".join(" ".join(words(text)) + "\n" for text in corpus)
            (folder / language).write_text(lines, encoding="utf-8", newline="\n")
        command = [EFLOMAL / "python", EFLOMAL / "eflomal-align", "-s", folder / "fr", "-t", folder / "en"]
        subprocess.run([*command, "-f", folder / "forward", "-r", folder / "backward"], check=True)
        forward, backward = (
            [
                parse_links(line, where=side).sure
                for line in (folder / side).read_text(encoding="utf-8").splitlines()[len(train) :]
            ]
            for side in ("forward", "backward")
        )
    joined = [grow_diagonal(a, b, final_and=True) for a, b in zip(forward, backward, strict=True)]
    alignments = {"fr → en": forward, "en → fr": backward, "both ways, grow-diag-final-and": joined}
    return [row(f"eflomal, {way}", link_scores(links, gold)) for way, links in alignments.items()]


if __name__ == "__main__":
    main()
