"""Loops of training written in C (`kernels.c`), compiled when training begins, where there is a compiler.

PyTorch alone does the same, as `attend.attend` and `training/loss.py` say it; these are quicker, since what
is between the products of a short sentence never leaves the processor's nearest cache. They run on one thread
and release the interpreter, so workers do not wait for each other here.
"""

import ctypes
import os
import shlex
import subprocess
import tempfile
from ctypes import POINTER, Structure, byref, c_float, c_int, c_int64, c_long, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from translator.model.unpadding import Unpadding

SOURCE = Path(__file__).with_name("kernels.c")
#: Without fast mathematics, whatever `$CC` asks for: the exponential counts on the rounding of its sums.
OPTIONS = [
    *("-O3", "-march=native", "-fno-fast-math", "-fno-math-errno", "-fno-trapping-math"),
    *("-shared", "-fPIC"),
]
#: Added where the processor has it: a compiler older than the processor does not know what is native to it.
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]


class _Batch(Structure):
    """`batch` in C."""

    _fields_ = [
        *((name, c_long) for name in ("n_sentences", "n_heads", "width")),
        *((name, c_void_p) for name in ("query_starts", "key_starts", "query_places", "key_places")),
        *((name, c_long) for name in ("query_length", "key_length")),
        ("half", c_int),
    ]


def compiler() -> str:
    """Return the command that compiles: `$CC` or `cc`."""
    return os.environ.get("CC") or "cc"


@cache
def library() -> ctypes.CDLL | None:
    """Compile and load the C functions, once a process: half a second.

    What the compiler makes lies in a temporary folder for as long as it takes to load.

    Returns:
        None where there is no compiler or it cannot do it.
    """
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Path(folder, "kernels.so")
        options = [*OPTIONS, *(AVX512 if has_avx512 else [])]
        try:
            command = [*shlex.split(compiler()), *options, str(SOURCE), "-o", str(made), "-lm"]
            subprocess.run(command, check=True, capture_output=True)
            found = ctypes.CDLL(str(made))
        except (OSError, ValueError, subprocess.CalledProcessError):
            return None
    found.lanes.restype = found.attend_room.restype = c_long
    found.attend_room.argtypes = [POINTER(_Batch)]
    found.attend.argtypes = [POINTER(_Batch), *[c_void_p] * 7]
    found.attend_back.argtypes = [POINTER(_Batch), *[c_void_p] * 7]
    found.loss_rows.argtypes = [c_long, c_long, c_void_p, c_int, c_void_p, c_float, *[c_void_p] * 3]
    found.attend.restype = found.attend_back.restype = found.loss_rows.restype = None
    return found


def fits(x: Tensor) -> bool:
    """Whether the C functions read such a tensor: float32 or bfloat16 on a CPU."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


class Sentences:
    """A batch of sentences as attention in C takes it: which rows ask which, and the room to work in."""

    def __init__(self, n_heads: int, head_width: int, queries: Unpadding, keys: Unpadding, half: bool):
        self._kept = (queries, keys)  # their memory is pointed to
        self._batch = _Batch(
            len(queries.starts) - 1, n_heads, head_width,
            queries.starts.data_ptr(), keys.starts.data_ptr(),
            queries.places.data_ptr(), keys.places.data_ptr(),
            queries.shape[1], keys.shape[1], half,
        )  # fmt: skip
        found = library()
        assert found is not None
        self._c, self._half = found, half
        padded = -(-keys.shape[1] // found.lanes()) * found.lanes()
        self.n_weights = queries.shape[0] * queries.shape[1] * n_heads * padded
        self._room = torch.empty(found.attend_room(byref(self._batch)))

    def attend(self, query: Tensor, joint: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is mixed, (R, D), zero beyond the real rows, and the weights for `attend_back`.

        Args:
            query: (R, D) float32 or bfloat16.
            joint: (R', 2 D), keys beside values, the same dtype.
            keep: bool, (1 or B, 1, 1 or Q, 1 or K).
        """
        queries, keys = self._kept
        keep = keep.expand(queries.shape[0], 1, queries.shape[1], keys.shape[1])
        strides = (c_int64 * 3)(keep.stride(0), keep.stride(2), keep.stride(3))
        mixed, weights = self._empty(query, queries.n), torch.empty(self.n_weights)
        self._c.attend(
            byref(self._batch), query.data_ptr(), joint.data_ptr(), keep.data_ptr(), strides,
            mixed.data_ptr(), weights.data_ptr(), self._room.data_ptr(),
        )  # fmt: skip
        return mixed, weights

    def attend_back(
        self, query: Tensor, joint: Tensor, weights: Tensor, of_mixed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of `query` and `joint` from that of what was mixed; zero as there."""
        queries, keys = self._kept
        of_query, of_joint = self._empty(query, queries.n), self._empty(joint, keys.n)
        self._c.attend_back(
            byref(self._batch), query.data_ptr(), joint.data_ptr(), weights.data_ptr(), of_mixed.data_ptr(),
            of_query.data_ptr(), of_joint.data_ptr(), self._room.data_ptr(),
        )  # fmt: skip
        return of_query, of_joint

    def _empty(self, like: Tensor, n: int) -> Tensor:
        made = torch.empty_like(like)
        made[n:] = 0
        return made


def loss_rows(logits: Tensor, right: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Turn logits into softmax − `share` at the right piece, in place.

    Args:
        logits: (N, V) float32 or bfloat16, contiguous.
        right: (N,) int64.
        share: of the target distribution.

    Returns:
        log Σ exp of the logits and the right piece's logit, (N,) float32 each.
    """
    found = library()
    assert found is not None
    (n, size), right = logits.shape, right.contiguous()
    log_z, right_logit = torch.empty(n), torch.empty(n)
    room = torch.empty(size + 64)
    found.loss_rows(
        n, size, logits.data_ptr(), logits.dtype == torch.bfloat16, right.data_ptr(), share,
        log_z.data_ptr(), right_logit.data_ptr(), room.data_ptr(),
    )  # fmt: skip
    return log_z, right_logit
