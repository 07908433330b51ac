"""A corpus of phrases that a tiny model learns in seconds, and the command `translator` on it."""

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUBJECTS = {
    "Le chat": "The cat",
    "Ma sœur": "My sister",
    "Un vieux chien": "An old dog",
    "L’enfant": "The child",
    "Mon voisin": "My neighbour",
    "La reine": "The queen",
}
VERBS = {
    "dort": "sleeps",
    "chante": "sings",
    "attend": "is waiting",
    "travaille": "works",
    "ne mange pas": "does not eat",
}
PLACES = {
    "dans la maison": "in the house",
    "devant la gare": "in front of the station",
    "sous le pont": "under the bridge",
    "à Lyon": "in Lyon",
    "au marché": "at the market",
}

YAML = """
run: {{root: {root}/runs}}
data:
  format: text
  root: {root}/corpus
  files: {{train: "train.{{lang}}", val: "val.{{lang}}", test: "test.{{lang}}"}}
  cache: {root}/cache
tokenizer: {{vocabulary_size: 400}}
model:
  width: 32
  n_heads: 4
  feed_forward: 64
  n_encoder_layers: 1
  n_decoder_layers: 1
  dropout: 0.0
  max_length: 40
train:
  max_steps: 40
  max_tokens_per_batch: 512
  learning_rate: 1e-2
  warmup_steps: 10
  ema_decay: 0.9
validation: {{every_steps: 20, n_samples: 1}}
search: {{beam_size: 3}}
hardware: {{accelerator: cpu, precision: 32-true}}
"""


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
        root: holds `corpus/` (train, val and test, 130, 10 and 10 pairs), `runs/`, `cache/`.
        config: the configuration file, `phrases.yaml`.
        model: the model folder, `runs/phrases/model`.
    """

    root: Path
    config: Path
    model: Path

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file of the corpus, such as `test.fr`."""
        return (self.root / "corpus" / name).read_text(encoding="utf-8").splitlines()


def write_phrases(root: Path) -> Path:
    """Write a corpus of all combinations and a configuration for it; return the latter's path."""
    pairs = [
        tuple(" ".join(side) + "." for side in zip(subject, verb, place, strict=True))
        for subject, verb, place in itertools.product(SUBJECTS.items(), VERBS.items(), PLACES.items())
    ]
    pairs = [pairs[i * 37 % len(pairs)] for i in range(len(pairs))]  # a fixed order that mixes them
    (root / "corpus").mkdir(parents=True)
    for split, part in {"test": pairs[:10], "val": pairs[10:20], "train": pairs[20:]}.items():
        for side, language in enumerate(("fr", "en")):
            text = "".join(pair[side] + "\n" for pair in part)
            (root / "corpus" / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")
    path = root / "phrases.yaml"
    path.write_text(YAML.format(root=root), encoding="utf-8")
    return path


def environment(**variables: str) -> dict[str, str]:
    """Return an environment for a command: one thread, nothing buffered, no bytes lost to a locale."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80", **variables}


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of `translator`."""
    return [str(Path(sys.executable).with_name("translator")), *map(str, arguments)]


def run_command(
    *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `translator` in a process of its own and return what it wrote."""
    return subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(**variables),
        timeout=120,
        check=False,
    )
