"""An end of memory is told from a fault of the file that was read then, which nobody should delete for it."""

from pathlib import Path

import pytest
import torch

from translator.data.tables import one_line_errors
from translator.data.tokenizer import Tokenizer
from translator.errors import DataError, is_out_of_memory
from translator.training.checkpoint import KEYS, read_checkpoint, with_checksum

ENDS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes"),
]


@pytest.mark.parametrize("error", ENDS, ids=repr)
def test_an_end_of_memory_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    assert is_out_of_memory(error)
    path = tmp_path / "last.ckpt"
    path.write_bytes(with_checksum({key: {} for key in KEYS}))
    assert read_checkpoint(path)  # the control
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)):
        read_checkpoint(path)
    with pytest.raises(MemoryError), one_line_errors("data.dataset=x", "look"):
        raise OSError("generation failed") from error
    monkeypatch.setattr("sentencepiece.SentencePieceProcessor", fail)
    with pytest.raises(type(error)):
        Tokenizer(b"")


def test_control_another_error_is_of_the_data() -> None:
    with pytest.raises(DataError, match="cannot be loaded"), one_line_errors("data.dataset=x", "look"):
        raise OSError("no network") from ValueError("why")
