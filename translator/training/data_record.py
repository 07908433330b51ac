"""Fingerprints of a run's data and vocabulary, stored in the run folder and checked on resuming."""

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


def record_data(folder: Path, prepared: Prepared) -> None:
    """Write the fingerprints, unless the run already has a record of them.

    If a run that is older than such records is resumed, print a note that its data are assumed to be
    unchanged.
    """
    path = folder / RECORD
    if path.is_file():
        return
    if (folder / "checkpoints").is_dir():
        console.note(f"{folder} is from before runs recorded their data; it is assumed to be the same")
    atomic_write(path, (json.dumps(_record(prepared), indent=2) + "\n").encode())


def vocabulary_digest(prepared: Prepared) -> str:
    """Return the SHA-256 of the tokenizer, which contains the vocabulary."""
    return hashlib.sha256(prepared.tokenizer.model).hexdigest()


def _record(prepared: Prepared) -> dict[str, Any]:
    return {"data": prepared.fingerprints, "vocabulary": vocabulary_digest(prepared)}


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
        return {"data": dict(record["data"]), "vocabulary": str(record["vocabulary"])}
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
