"""A run's record of its data: fingerprints, and the batches in a step. It is checked on resuming."""

import hashlib
import json
from pathlib import Path
from typing import Any

from translator import console
from translator.data.preparation import Prepared
from translator.errors import TrainingError
from translator.files import atomic_write

RECORD = "data.json"


def check_same_data(folder: Path, prepared: Prepared) -> None:
    """Check that the data and the vocabulary are those with which the run was started.

    A run that has no record passes this check, whether it is new or older than such records.

    Raises:
        TrainingError: the data or the vocabulary has changed (the message names the changes), or the record
            is damaged.
    """
    path = folder / RECORD
    changes = _changes(_read(path), _record(prepared)) if path.is_file() else []
    if changes:
        raise TrainingError(
            f"{folder} was started with other data: {'; '.join(changes)}. Restore the original data, "
            "or leave --resume out to start another run"
        )


def record_data(folder: Path, prepared: Prepared, *, batches_per_step: int) -> None:
    """Write the fingerprints and the number of batches in a step, unless the run already has a record.

    If a run that is older than such records is resumed, print a note that its data are assumed to be
    unchanged.
    """
    path = folder / RECORD
    if path.is_file():
        return
    if (folder / "checkpoints").is_dir():
        console.note(f"{folder} is from before runs recorded their data; it is assumed to be the same")
    record = {**_record(prepared), "batches_per_step": batches_per_step}
    atomic_write(path, (json.dumps(record, indent=2) + "\n").encode())


def batches_to_accumulate(folder: Path, accumulate: int, *, n_processes: int) -> int:
    """Return how many batches each process accumulates, so that the steps of a resumed run do not change.

    Args:
        folder: the run folder.
        accumulate: `train.accumulate`, which is returned for a run that has no record of its steps.
        n_processes: number of processes that train now.

    Raises:
        TrainingError: the batches of a step cannot be divided equally among the processes.
    """
    n_batches = _read(folder / RECORD).get("batches_per_step") or n_processes * accumulate
    each, rest = divmod(n_batches, n_processes)
    if rest:
        raise TrainingError(
            f"{folder} was started with {n_batches} batches per step, which {n_processes} processes cannot "
            f"divide equally; resume it with a number of processes that divides {n_batches}"
        )
    return each


def vocabulary_digest(prepared: Prepared) -> str:
    """Return the SHA-256 of the tokenizer, which contains the vocabulary."""
    return hashlib.sha256(prepared.tokenizer.model).hexdigest()


def _record(prepared: Prepared) -> dict[str, Any]:
    return {"data": prepared.fingerprints, "vocabulary": vocabulary_digest(prepared)}


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        return {**record, "data": dict(record["data"]), "vocabulary": str(record["vocabulary"])}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise TrainingError(f"{path}: damaged; leave --resume out to start another run") from None


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Describe each file or split that has changed. If none has, describe any change of the vocabulary."""
    names = sorted({*before["data"], *now["data"]})
    pairs = [(name, before["data"].get(name), now["data"].get(name)) for name in names]
    if before["data"] == now["data"]:
        pairs.append(("the vocabulary", before["vocabulary"], now["vocabulary"]))
    return [f"{name} was {_short(old)} and is {_short(new)}" for name, old, new in pairs if old != new]


def _short(fingerprint: object) -> str:
    return "not there" if fingerprint is None else str(fingerprint)[:16]
