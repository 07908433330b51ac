"""What a run's data and vocabulary are recognised by, kept in its folder; a resumed run is held to it."""

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
    """Refuse to go on with a run on other data than it was begun with.

    Raises:
        TrainingError: the data or the vocabulary has changed since the run began; the message names what.
    """
    path = folder / RECORD
    changes = _changes(_read(path), _record(prepared)) if path.is_file() else []
    if changes:
        raise TrainingError(
            f"{folder} was begun with other data: {'; '.join(changes)}. Bring back what it was begun "
            "with, or leave --resume out to start another run"
        )


def record_data(folder: Path, prepared: Prepared) -> None:
    """Record what a run is trained on; one from before there was a record is held to what it has now."""
    path = folder / RECORD
    if path.is_file():
        return
    if (folder / "checkpoints").is_dir():
        console.note(f"{folder} is from before runs recorded their data; it is taken to be the same")
    atomic_write(path, (json.dumps(_record(prepared), indent=2) + "\n").encode())


def vocabulary_digest(prepared: Prepared) -> str:
    """Return what a vocabulary is recognised by."""
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
    """Say of each file or split that is not the same what it was and is, or of the vocabulary alone."""
    names = sorted({*before["data"], *now["data"]})
    pairs = [(name, before["data"].get(name), now["data"].get(name)) for name in names]
    if before["data"] == now["data"]:
        pairs.append(("the vocabulary", before["vocabulary"], now["vocabulary"]))
    return [f"{name} was {_short(old)} and is {_short(new)}" for name, old, new in pairs if old != new]


def _short(fingerprint: object) -> str:
    return "not there" if fingerprint is None else str(fingerprint)[:16]
