"""What computes a training; it decides how sums are rounded, so checkpoints and the manifest record it."""

from collections.abc import Mapping
from typing import Any

import torch

from translator import console
from translator.engine.native_library import level


def computed_with(
    backend: str, precision: str, *, replicas: int, threads: int, device: torch.device
) -> dict[str, Any]:
    """Return the record: the arguments and, as "hardware", the name of the GPU or the CPU features in use."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        features = level() if backend == "native" else torch.backends.cpu.get_cpu_capability()
        hardware = f"{device.type} {str(features).lower()}"
    return {
        "backend": backend,
        "precision": precision,
        "replicas": replicas,
        "threads": threads,
        "hardware": hardware,
    }


def note_difference(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Print a note if a run resumes with something else than before.

    Args:
        before: the record in the checkpoint, if there is one. Entries that it lacks, because an older version
            wrote it, are not compared.
        now: the record of this session.
    """
    if before is None or all(now.get(name) == value for name, value in before.items()):
        return
    old, new = (", ".join(f"{name} {value}" for name, value in record.items()) for record in (before, now))
    console.note(f"resumed with {new} after {old}: results are no longer bit for bit those of one session")
