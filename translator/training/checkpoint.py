"""Checkpoint files with a checksum, and a previous checkpoint to fall back on.

A checkpoint is a zip file written by `torch.save`. The SHA-256 of its content is stored in the same
file, as the zip's comment, so that one atomic write replaces both the content and the checksum. Programs
that do not know about the checksum can still read the file.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from translator import console
from translator.building import not_finite
from translator.errors import TrainingError, is_out_of_memory
from translator.files import atomic_write
from translator.model_folder import NOT_FINITE

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"

#: Key of this program's own state in a checkpoint.
STATE = "passerelle"

#: The keys that every checkpoint of this program has.
KEYS = (
    "state_dict",
    "optimizer_states",
    "lr_schedulers",
    "loops",
    "callbacks",
    "epoch",
    "global_step",
    "pytorch-lightning_version",
    STATE,
)

_MARK = b"sha256:"
_COMMENT_LENGTH = len(_MARK) + 64
# First bytes and length of a zip's last record. If the zip has no comment, the record is the end of the file.
# Its last two bytes are the length of the comment.
_END, _END_LENGTH = b"PK\5\6", 22


class ChecksummedCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically and with checksums, keeps the previous one, and verifies what it reads.

    Lightning's own implementation is not atomic: it writes to the system's temporary folder and, if that
    folder is on another disk, copies the file from there.
    """

    def __init__(self) -> None:
        super().__init__()
        # Whether `last.ckpt` is known to be intact. Only an intact `last.ckpt` may replace `previous.ckpt`.
        self._last_is_good = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint. If it replaces an intact `last.ckpt`, keep the old file as `previous.ckpt`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        keeps_last = path.name == LAST and self._last_is_good
        atomic_write(path, with_checksum(checkpoint), backup=path.with_name(PREVIOUS) if keeps_last else None)
        self._last_is_good = self._last_is_good or path.name == LAST

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> Any:
        """Read a checkpoint. If it is damaged, read the previous one instead, and print a note.

        Raises:
            TrainingError: the checkpoint is damaged, and the previous one does not exist or is damaged, too.
        """
        path = Path(path)
        try:
            checkpoint = read_checkpoint(path)
        except TrainingError as error:
            previous = path.with_name(PREVIOUS)
            if not previous.is_file():
                raise TrainingError(f"{error}; delete it to train from the start") from None
            try:
                checkpoint = read_checkpoint(previous)
            except TrainingError as second:
                raise TrainingError(f"{error}; and {second}; delete both to train from the start") from None
            steps = checkpoint[STATE]["progress"]["steps"]
            rank_zero_only(console.note)(f"{error}; resuming from {PREVIOUS}, of step {steps:,}")
            return checkpoint
        self._last_is_good = self._last_is_good or path.name == LAST
        return checkpoint


def with_checksum(checkpoint: dict[str, Any]) -> memoryview:
    """Serialise a checkpoint. Return the content of the file to write, including the checksum."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    content = buffer.getbuffer()
    assert _is_plain_zip(content)
    digest = hashlib.sha256(content[:-2]).hexdigest()
    content.release()  # because a buffer cannot grow while a view of it exists
    buffer.seek(-2, io.SEEK_END)
    buffer.write(_COMMENT_LENGTH.to_bytes(2, "little") + _MARK + digest.encode())
    return buffer.getbuffer()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU and verify it.

    An old checkpoint without a checksum is accepted, but a note is printed.

    Raises:
        TrainingError: the file cannot be read or is damaged, or a weight or a value of the optimiser state is
            not finite.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror}") from None
    _check(path, content)
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises errors of many types, with misleading messages
        if is_out_of_memory(error):
            raise
        raise TrainingError(f"{path}: damaged: it is not a checkpoint of this program") from None
    missing = [key for key in KEYS if key not in checkpoint] if isinstance(checkpoint, dict) else KEYS
    if missing:
        raise TrainingError(f"{path}: damaged: it lacks {missing[0]!r}")
    if name := _not_finite(checkpoint):
        raise TrainingError(f"{path}: {name} has {NOT_FINITE}: the training had diverged")
    return dict(checkpoint)


def check_vocabulary(checkpoint: dict[str, Any], digest: str) -> None:
    """Check that a checkpoint was written with the vocabulary whose SHA-256 is `digest`.

    Old checkpoints do not record a digest and are accepted.

    Raises:
        TrainingError: the checkpoint was written with another vocabulary.
    """
    if checkpoint[STATE].get("vocabulary", digest) != digest:
        raise TrainingError(
            "the checkpoint was written with another vocabulary, by another run; restore this run's own "
            "checkpoint, or leave --resume out to start another run"
        )


def refuse_divergence(checkpoint: dict[str, Any], *, steps: int) -> None:
    """Check that all weights and the optimiser state in a checkpoint are finite.

    Args:
        checkpoint: the content of the checkpoint.
        steps: number of optimiser steps so far, for the error message.

    Raises:
        TrainingError: a value is not finite; the message names the tensor.
    """
    if name := _not_finite(checkpoint):
        raise TrainingError(diverged(f"{name} has {NOT_FINITE}", steps=steps))


def diverged(what: str, *, steps: int) -> str:
    """Return an error message for a training that diverged.

    Args:
        what: what is wrong, the first words of the message.
        steps: number of optimiser steps so far.
    """
    return (
        f"{what} by step {steps:,}; lower train.learning_rate, raise train.warmup_steps, or set "
        "hardware.precision=32-true, in another run. Earlier checkpoints are kept; of these three settings, "
        "--resume may change only the precision"
    )


def _check(path: Path, content: bytes) -> None:
    """Verify the checksum of a checkpoint file. Accept a zip file without a checksum, but print a note."""
    comment, before = content[-_COMMENT_LENGTH:], content[-_COMMENT_LENGTH - 2 : -_COMMENT_LENGTH]
    if before == _COMMENT_LENGTH.to_bytes(2, "little") and comment.startswith(_MARK):
        body = memoryview(content)[: -_COMMENT_LENGTH - 2]
        if hashlib.sha256(body).hexdigest().encode() != comment.removeprefix(_MARK):
            raise TrainingError(f"{path}: damaged: its SHA-256 is not the recorded one")
    elif _is_plain_zip(content):
        rank_zero_only(console.note)(f"{path}: from before checkpoints had a checksum; not verified")
    else:
        reason = "it is truncated, or not a checkpoint" if content else "it is empty"
        raise TrainingError(f"{path}: damaged: {reason}")


def _is_plain_zip(content: bytes | memoryview) -> bool:
    """Return whether `content` ends like a zip file that has no comment."""
    end = bytes(content[-_END_LENGTH:])
    return end.startswith(_END) and end.endswith(b"\0\0")


def _not_finite(checkpoint: dict[str, Any]) -> str | None:
    """Return the name of a weight or optimiser state that is not finite, or None if all are finite."""

    def tensors(value: Any, name: str) -> dict[str, torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return {name: value}
        if isinstance(value, list):
            value = dict(enumerate(value))
        inner = value.items() if isinstance(value, dict) else ()
        return {k: v for key, part in inner for k, v in tensors(part, f"{name}.{key}").items()}

    parts = ("current_model_state", "state_dict", "optimizer_states")
    return next((name for part in parts if (name := not_finite(tensors(checkpoint.get(part), part)))), None)
