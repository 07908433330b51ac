"""Import a file of each kind that people have, compare every segment with its text, and train on it.

python scripts/try_formats.py               every file: three minutes
python scripts/try_formats.py po csv        the files with "po" or "csv" in their names
python scripts/try_formats.py --no-train    import and compare only: seconds

For each file that `people_files.py` makes, a line tells what `translator import` said, how many pairs were
read and left out, whether each pair is that of the file, and whether `translator train` made a model of it in
a few steps. Then come files that would fill the memory or leave their folder, with the messages that refuse
them; for these, the limit is 1 MB instead of 200. The exit code is 1 if anything is not as it should be.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import people_files

from translator.cli import importing
from translator.cli import main as translator
from translator.config.file import load_config
from translator.data import opening
from translator.data.corpus import open_malformed, open_splits

#: A training of seconds, whose model ends no sentence.
BRIEF = ["train.max_steps=4", "train.max_minutes=null", "hardware.replicas=1", "search.beam_size=1"]
BRIEF += ["search.max_length_ratio=0.1", "search.max_length_offset=2"]


def command(*arguments: str | Path) -> tuple[bool, str, str]:
    """Run `translator`. Return whether it succeeded, what it printed, and its last message."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            translator([str(argument) for argument in arguments])
        except SystemExit as stopped:
            succeeded = not stopped.code
    return succeeded, out.getvalue(), (err.getvalue().strip().splitlines() or [""])[-1]


def try_file(make: people_files.Maker, *, train: bool) -> bool:
    """Print the line of a file in the current folder. Return whether all is as it should be."""
    people = make(Path())
    succeeded, out, message = command("import", *people.paths, "--output", "own.yaml")
    if not succeeded:
        print(f"{make.__name__} | {message} | | | no | no")
        return False
    said = "; ".join(line for line in out.split(" pairs; the first")[0].splitlines()[:-1])
    # Without the input map, the texts are those of the file.
    config = load_config("own.yaml", ["data.input_map=null"]).data
    name = config.sources[0].name
    config = config.model_copy(update={"sources": (config.sources[0].model_copy(update={"held_out": {}}),)})
    table = open_splits(config, "train", seed=1)[name]
    pairs = list(zip(table["source"], table["target"], strict=True))
    n_left_out = len(open_malformed(config, "train")[name])
    is_equal = pairs == people.pairs and n_left_out == sum(people.malformed.values())
    trained = "not tried"
    if train:
        succeeded, _, message = command("train", "own.yaml", *BRIEF)
        trained = "yes" if succeeded and Path("runs/own/model/manifest.json").is_file() else message
    equal = "yes" if is_equal else "NO"
    print(f"{make.__name__} | {said} | {len(pairs)} | {n_left_out} | {equal} | {trained}", flush=True)
    return is_equal and trained in ("yes", "not tried")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of files")
    parser.add_argument("--no-train", action="store_true", help="do not train")
    arguments = parser.parse_args()
    importing.MIXED_BELOW = 0  # the phrasebook would take most of the time
    all_well = True
    print("file | import said | pairs | left out | every segment equal | trained")
    for make in people_files.FILES:
        if not arguments.names or any(name in make.__name__ for name in arguments.names):
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                all_well &= try_file(make, train=not arguments.no_train)
    opening.MAX_UNPACKED_BYTES = 1_000_000
    print("\nrefused | message")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for paths, expected in people_files.bombs(Path()):
            succeeded, _, message = command("import", *paths)
            print(f"{paths[0]} | {message}", flush=True)
            all_well &= not succeeded and expected in message
    sys.exit(0 if all_well else 1)


if __name__ == "__main__":
    main()
