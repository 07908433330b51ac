"""What several test files share: a tiny corpus and a configuration for it."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from translator.config import Config
from translator.config.file import load_config
from translator.signals import ENDING

# The same examples on every machine, and no limit on how long one takes on a busy one.
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start first what may take longest, so that nothing long is left when all else has ended."""

    def limit(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker else 300.0  # the default in pyproject.toml

    items.sort(key=limit, reverse=True)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that was stopped ignores signals from then on, and here it is no process of its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


TRAIN = """
Le chat dort sur la chaise.|The cat is sleeping on the chair.
La pluie tombe depuis ce matin.|It has been raining since this morning.
Où est ma clé ?|Where is my key?
Ma sœur habite à Lyon.|My sister lives in Lyon.
Il a perdu son chapeau.|He has lost his hat.
Nous mangeons à midi.|We eat at noon.
Elle lit un vieux livre.|She is reading an old book.
Je ne comprends pas.|I do not understand.
Ferme la porte, s'il te plaît.|Close the door, please.
Les enfants jouent dehors.|The children are playing outside.
« Viens ! » dit-elle.|“Come!” she said.
Le train part à huit heures.|The train leaves at eight.
J’aime le café noir.|I like black coffee.
Ton frère est plus grand que toi.|Your brother is taller than you.
Quelle heure est-il ?|What time is it?
Le pont est fermé aujourd'hui.|The bridge is closed today.
Ils ont acheté une maison.|They have bought a house.
Le cœur du village est calme.|The heart of the village is quiet.
Attends-moi devant la gare.|Wait for me in front of the station.
Cette soupe est trop salée.|This soup is too salty.
Mon voisin répare son vélo.|My neighbour is mending his bicycle.
Il neige en février.|It snows in February.
La lampe ne marche plus.|The lamp no longer works.
Elle chante très bien.|She sings very well.
Nous partirons demain soir.|We will leave tomorrow evening.
Le chien court vers la rivière.|The dog is running towards the river.
Qui a cassé la fenêtre ?|Who broke the window?
Tu as raison.|You are right.
Les œufs sont dans le panier.|The eggs are in the basket.
Il fait froid dehors.|It is cold outside.
Je cherche un stylo bleu.|I am looking for a blue pen.
Le marché ouvre à sept heures.|The market opens at seven.
Son père travaille la nuit.|His father works at night.
Elle a oublié son parapluie.|She has forgotten her umbrella.
Combien coûte ce gâteau ?|How much does this cake cost?
Le jardin est plein de fleurs.|The garden is full of flowers.
Ne touche pas au feu.|Do not touch the fire.
Nous avons gagné le match.|We have won the match.
Le bateau arrive au port.|The boat is arriving at the harbour.
Merci beaucoup.|Thank you very much.
"""
VAL = """
Le chat court vers la gare.|The cat is running towards the station.
Où est mon chapeau ?|Where is my hat?
Ma sœur chante dehors.|My sister is singing outside.
Il ne comprend pas.|He does not understand.
"""
TEST = """
Le chien dort sur la chaise.|The dog is sleeping on the chair.
Ils ont perdu le match.|They have lost the match.
Quelle heure est-il à Lyon ?|What time is it in Lyon?
Ma lampe est bleue.|My lamp is blue.
"""

YAML = """
run: {{root: {root}/runs}}
data:
  format: text
  root: {root}/corpus
  files: {{train: "train.{{lang}}", val: "val.{{lang}}", test: "test.{{lang}}"}}
  cache: {root}/cache
tokenizer: {{vocabulary_size: 400}}
model:
  width: 16
  n_heads: 2
  feed_forward: 32
  n_encoder_layers: 1
  n_decoder_layers: 1
  max_length: 64
train:
  max_steps: 20
  max_tokens_per_batch: 128
  warmup_steps: 2
validation: {{every_steps: 10, n_samples: 1}}
search: {{beam_size: 2}}
hardware: {{accelerator: cpu, precision: 32-true}}
"""


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> Path:
    """A folder with `train`, `val` and `test`, 40, 4 and 4 pairs, as `<split>.fr` and `<split>.en`."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split, block in {"train": TRAIN, "val": VAL, "test": TEST}.items():
        pairs = [line.split("|") for line in block.strip().split("\n")]
        for side, language in enumerate(("fr", "en")):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")
    return folder


@pytest.fixture
def tiny_config(tiny_corpus: Path) -> Callable[..., Config]:
    """A function `(*overrides) -> Config` for `tiny_corpus`; an override is `"section.key=value"`.

    All that it writes lies beside the corpus, in pytest's `tmp_path`: `tiny.yaml`, `cache/`, `runs/`.
    """
    path = tiny_corpus.parent / "tiny.yaml"
    path.write_text(YAML.format(root=tiny_corpus.parent), encoding="utf-8")

    def make(*overrides: str) -> Config:
        return load_config(path, overrides)

    return make
