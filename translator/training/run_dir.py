"""Create the folder of a new run, or find and check the folder of a run to resume."""

import re
from pathlib import Path

from translator.config import Config
from translator.config.file import load_config
from translator.errors import TrainingError
from translator.files import remove_partial_files
from translator.model_folder import CONFIG, MANIFEST, TOKENIZER, WEIGHTS, recorded_time
from translator.training.checkpoint import BEST, LAST, PREVIOUS
from translator.training.lock import SESSION
from translator.translation.film import FILM

#: Subfolder with a copy of the model from which the run started, so that resuming does not need the original.
INITIAL = "initial"

#: Names of all files that are written atomically to a run folder or to one of its subfolders.
FILES = (
    *("config.yaml", "data.json", "test.hypotheses.txt", "curves.png", FILM, LAST, PREVIOUS, BEST),
    *(WEIGHTS, TOKENIZER, CONFIG, MANIFEST),
)

#: For each section of the configuration, the keys that may change when a run is resumed; None means all keys.
#: In sections that are not listed, no key may change.
MAY_CHANGE = {
    "run": None,
    "data": {"root", "cache"},
    "train": {"max_steps", "max_epochs", "max_minutes", "checkpoint_minutes"},
    "validation": None,
    "search": None,
    "hardware": None,
}


def run_dir(config: Config, name: str, resume: bool) -> Path:
    """Return the folder to train in. For a new run, create the folder.

    Raises:
        TrainingError: there is no run to resume, its configuration differs in a key that may not change, or
            the new folder cannot be created.
    """
    root = Path(config.run.root).expanduser()
    if not resume:
        return new_folder(root, name)
    folder = unfinished_run(root, name)
    _check_same_training(folder, config)
    return folder


def new_folder(root: Path, name: str) -> Path:
    """Create and return the first of the folders `root/name`, `root/name-2` … that does not exist yet."""
    n = 1
    while True:
        folder = root / (name if n == 1 else f"{name}-{n}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            n += 1
        except OSError as error:
            raise TrainingError(f"{folder}: cannot be created: {error.strerror}; set run.root") from None
        else:
            return folder


def unfinished_run(root: Path, name: str) -> Path:
    """Return the most recently trained unfinished run of a name.

    Raises:
        TrainingError: there is none.
    """
    runs = [folder for folder in root.glob("*") if _is_run_of(folder, name)]
    unfinished = [folder for folder in runs if not (folder / "model" / MANIFEST).exists()]
    if not unfinished:
        state = "every run of that name is finished" if runs else "there is no run of that name"
        raise TrainingError(f"nothing to resume as {root / name}: {state}; leave --resume out to start one")
    return max(unfinished, key=_last_trained)


def check_unfinished(folder: Path) -> None:
    """Check, after locking the run folder, that the run is still unfinished.

    Raises:
        TrainingError: another process finished the run before this one acquired the lock.
    """
    if (folder / "model" / MANIFEST).exists():
        raise TrainingError(f"{folder} was just finished by another process; there is nothing to resume")


def _last_trained(folder: Path) -> float:
    return recorded_time(folder / SESSION, "started", otherwise=folder / "config.yaml")


def _is_run_of(folder: Path, name: str) -> bool:
    numbered = re.fullmatch(re.escape(name) + r"(-[0-9]+)?", folder.name)
    return numbered is not None and (folder / "config.yaml").is_file()


def _check_same_training(folder: Path, config: Config) -> None:
    before = load_config(folder / "config.yaml", saved=True).model_dump()
    for section, values in config.model_dump().items():
        changeable = MAY_CHANGE.get(section, set())
        if changeable is None:
            continue
        for key, value in values.items():
            if key not in changeable and value != before[section][key]:
                raise TrainingError(
                    f"{folder} was trained with {section}.{key}={before[section][key]!r}, not {value!r}; "
                    "resume it with the same configuration, or leave --resume out to start another run"
                )


def initial_model_of(folder: Path, init_from: str | None) -> Path | None:
    """Return the run's copy of the model from which it started, or None if it started afresh.

    Args:
        folder: the folder of the run.
        init_from: `train.init_from` of the configuration with which the run is resumed.

    Raises:
        TrainingError: the run started afresh, but is resumed with `train.init_from`, or conversely.
    """
    started = (folder / INITIAL).is_dir()
    if started != (init_from is not None):
        given = f"train.init_from={init_from}" if init_from else "no train.init_from"
        raise TrainingError(
            f"{folder} {'started from a model' if started else 'did not start from a model'}, and cannot be "
            f"resumed with {given}; give what it was started with, or leave --resume out to start another run"
        )
    return folder / INITIAL if started else None


def remove_partial_files_of_run(folder: Path) -> None:
    """Remove temporary files that a killed process left in a run folder."""
    for directory in (folder, folder / "checkpoints", folder / "model", folder / INITIAL):
        remove_partial_files(directory, FILES)
