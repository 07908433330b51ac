"""Checkpoints that carry their own checksum, and the one before the last to fall back on.

A checkpoint is PyTorch's zip file, and the zip's comment is the SHA-256 of what stands before it: file and
checksum come with one rename, and every program that reads the one reads the other.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from translator import console
from translator.errors import TrainingError, is_out_of_memory
from translator.files import atomic_write
from translator.model_folder import NOT_FINITE, not_finite

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"

#: Key of our own state in a checkpoint.
STATE = "passerelle"

#: What every checkpoint of ours has.
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
_END, _END_LENGTH = b"PK\5\6", 22  # the record that ends a zip; its last two bytes are the comment's length


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole, with a checksum, and keeps the last but one; reads what it can vouch for.

    Lightning writes them into the system's temporary folder; from there to another disk they would be
    copied, and a kill in that moment would leave half of one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_is_good = False  # what a damaged one would push out is the one that is good

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; what was the last one is the previous one then."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        keeps = path.name == LAST and self._last_is_good
        atomic_write(path, with_checksum(checkpoint), keep=path.with_name(PREVIOUS) if keeps else None)
        self._last_is_good = self._last_is_good or path.name == LAST

    def load_checkpoint(self, path: str | Path, *args: Any, **options: Any) -> Any:
        """Read a checkpoint; where the last one is damaged, the previous one, with a note.

        Raises:
            TrainingError: none can be read.
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
            except TrainingError as other:
                raise TrainingError(f"{error}; and {other}; delete both to train from the start") from None
            steps = checkpoint[STATE]["progress"]["steps"]
            rank_zero_only(console.note)(f"{error}; going on from {PREVIOUS}, of step {steps:,}")
            return checkpoint
        self._last_is_good = self._last_is_good or path.name == LAST
        return checkpoint


def with_checksum(checkpoint: dict[str, Any]) -> memoryview:
    """Return a checkpoint as it is written."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    content = buffer.getbuffer()
    assert _is_plain_zip(content)
    digest = hashlib.sha256(content[:-2]).hexdigest()
    content.release()  # else the buffer cannot grow
    buffer.seek(-2, io.SEEK_END)
    buffer.write(_COMMENT_LENGTH.to_bytes(2, "little") + _MARK + digest.encode())
    return buffer.getbuffer()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, its tensors into the CPU's memory; one from before there were checksums with a note.

    Raises:
        TrainingError: it is not there, damaged, or has weights that are not finite.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror}") from None
    _check(path, content)
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # of a zip that is none of ours PyTorch may say anything, and gives advice
        if is_out_of_memory(error):
            raise
        raise TrainingError(f"{path}: damaged: it is no checkpoint of this program") from None
    missing = [key for key in KEYS if key not in checkpoint] if isinstance(checkpoint, dict) else KEYS
    if missing:
        raise TrainingError(f"{path}: damaged: it lacks {missing[0]!r}")
    if name := _not_finite(checkpoint):
        raise TrainingError(f"{path}: {name} has {NOT_FINITE}: the training had diverged")
    return dict(checkpoint)


def check_vocabulary(checkpoint: dict[str, Any], digest: str) -> None:
    """Let no run take up the checkpoint of another one, whose weights mean other pieces.

    Raises:
        TrainingError: it was written with another vocabulary. Older checkpoints do not say.
    """
    if checkpoint[STATE].get("vocabulary", digest) != digest:
        raise TrainingError(
            "the checkpoint was written with another vocabulary: it is of another run; bring back this run's "
            "own, or leave --resume out to start another run"
        )


def refuse_divergence(checkpoint: dict[str, Any], *, steps: int) -> None:
    """Let no checkpoint be written from which a run could not go on.

    Raises:
        TrainingError: a weight or a state of the optimiser is not finite.
    """
    if name := _not_finite(checkpoint):
        raise TrainingError(diverged(f"{name} has {NOT_FINITE}", steps=steps))


def diverged(what: str, *, steps: int) -> str:
    """Return the message for a training that has diverged: what is wrong, what to do, what is kept."""
    return (
        f"{what} by step {steps:,}; lower train.learning_rate, raise train.warmup_steps, or set "
        "hardware.precision=32-true, in another run. What was saved before is kept; of these three "
        "--resume may change the precision alone"
    )


def _check(path: Path, content: bytes) -> None:
    comment, before = content[-_COMMENT_LENGTH:], content[-_COMMENT_LENGTH - 2 : -_COMMENT_LENGTH]
    if before == _COMMENT_LENGTH.to_bytes(2, "little") and comment.startswith(_MARK):
        body = memoryview(content)[: -_COMMENT_LENGTH - 2]
        if hashlib.sha256(body).hexdigest().encode() != comment.removeprefix(_MARK):
            raise TrainingError(f"{path}: damaged: its SHA-256 is not the one that it was written with")
    elif _is_plain_zip(content):
        rank_zero_only(console.note)(f"{path}: from before checkpoints had a checksum; taken as it is")
    else:
        what = "it is empty" if not content else "it is cut short, or no checkpoint"
        raise TrainingError(f"{path}: damaged: {what}")


def _is_plain_zip(content: bytes | memoryview) -> bool:
    """Whether this is the end of a zip without a comment."""
    end = bytes(content[-_END_LENGTH:])
    return end.startswith(_END) and end.endswith(b"\0\0")


def _not_finite(checkpoint: dict[str, Any]) -> str | None:
    """The name of a tensor of the weights or of the optimiser with a value that is not finite, or None."""

    def tensors(value: Any, name: str) -> dict[str, torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return {name: value}
        if isinstance(value, list):
            value = dict(enumerate(value))
        inner = value.items() if isinstance(value, dict) else ()
        return {k: v for key, part in inner for k, v in tensors(part, f"{name}.{key}").items()}

    parts = ("current_model_state", "state_dict", "optimizer_states")
    return next((name for part in parts if (name := not_finite(tensors(checkpoint.get(part), part)))), None)
