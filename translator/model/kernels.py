"""Loops of training written in C (`kernels.c`): compiled, loaded and called.

PyTorch alone does the same; these are quicker on a CPU, since what is between the products of a short
sentence never leaves the processor's nearest cache. They run on one thread and release the interpreter, so
workers do not wait for each other here. They are used between `use(True)` and `use(False)`.
"""

import ctypes
import os
import shlex
import subprocess
import tempfile
from ctypes import POINTER, Structure, byref, c_float, c_int, c_int64, c_long, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from translator.model.unpadding import Unpadding

SOURCE = Path(__file__).with_name("kernels.c")
#: After so long a compiler hangs; it takes half a second.
MOST_SECONDS = 60
#: Without fast mathematics, whatever `$CC` asks for: the exponential counts on the rounding of its sums.
OPTIONS = [
    *("-O3", "-march=native", "-fno-fast-math", "-fno-math-errno", "-fno-trapping-math"),
    *("-shared", "-fPIC"),
]

_in_use: ctypes.CDLL | None = None


class _Batch(Structure):
    """`batch` in C."""

    _fields_ = [
        *((name, c_long) for name in ("n_sentences", "n_heads", "width")),
        *((name, c_void_p) for name in ("query_starts", "key_starts", "query_places", "key_places")),
        *((name, c_long) for name in ("query_length", "key_length")),
        ("half", c_int),
    ]


def _command() -> str:
    """What compiles: `$CC` or `cc`."""
    return os.environ.get("CC", "").strip() or "cc"


def library() -> ctypes.CDLL | None:
    """Compile and load the C functions, once a process: half a second.

    What the compiler makes lies in a temporary folder for as long as it takes to load.

    Returns:
        None where there is no compiler or it cannot do it; `problem` says why.
    """
    found = _compiled(_command())
    return None if isinstance(found, str) else found


def problem() -> str | None:
    """Return why there are no C functions: the command, and how it ended or what the loader said."""
    found = _compiled(_command())
    return found if isinstance(found, str) else None


@cache
def _compiled(command: str) -> ctypes.CDLL | str:
    """The C functions, or why there are none."""
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            made = Path(folder, "kernels.so")
            reason = _compile(command, made)
            if reason is not None:
                return f"{command!r} ({reason}) does not compile C"
            return _declared(ctypes.CDLL(str(made)))
    except OSError as error:
        return (
            f"what {command!r} made cannot be loaded ({error}); if programs may not run in the temporary "
            "folder, name another in $TMPDIR"
        )
    except AttributeError as error:
        return f"what {command!r} made lacks a function ({error})"


def _compile(command: str, made: Path) -> str | None:
    """Compile, or return why that was not possible."""
    try:
        words = [*shlex.split(command), *OPTIONS, str(SOURCE), "-o", str(made), "-lm"]
        done = subprocess.run(
            words, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no end within {MOST_SECONDS} s"
    except OSError as error:
        return str(error.strerror)
    except ValueError as error:  # not to be split into words
        return str(error)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        said = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
        how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        return f"{how}: {said.strip()[:200]}" if said else how
    return None if made.exists() else "exit code 0, and nothing made"


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """The library, its functions' types declared.

    Raises:
        AttributeError: it lacks one.
    """
    pointer, half = c_void_p, c_int
    found.attend_room.argtypes = [POINTER(_Batch)]
    found.attend.argtypes = [POINTER(_Batch), *[pointer] * 7]
    found.attend_back.argtypes = [POINTER(_Batch), *[pointer] * 7]
    found.loss_rows.argtypes = [c_long, c_long, pointer, half, pointer, c_float, *[pointer] * 3]
    found.add_dropped.argtypes = [c_long, c_uint64, c_int, c_float, pointer, pointer, half, pointer, half]
    found.normalise.argtypes = [c_long, c_long, *[pointer] * 3, c_float, pointer, half, *[pointer] * 2]
    found.normalise_back.argtypes = [c_long, c_long, *[pointer] * 5, half, *[pointer] * 3]
    found.lanes.restype = found.attend_room.restype = c_long
    for name in ("attend", "attend_back", "loss_rows", "add_dropped", "normalise", "normalise_back"):
        getattr(found, name).restype = None
    return found


def use(wanted: bool) -> None:
    """Say whether the C functions are to be used in this process from here on, where there is a compiler."""
    global _in_use
    _in_use = library() if wanted else None


def in_use() -> bool:
    """Whether they are."""
    return _in_use is not None


def fits(*tensors: Tensor, width: int | None = None) -> bool:
    """Whether the C functions are in use and read such tensors: float32 or bfloat16 on a CPU.

    Args:
        tensors: what is read or written.
        width: of a row, if rows have to be whole registers.
    """
    return (
        _in_use is not None
        and all(x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) for x in tensors)
        and (width is None or width % _in_use.lanes() == 0)
    )


def _c() -> ctypes.CDLL:
    assert _in_use is not None, "kernels.use(True) comes first"
    return _in_use


def _is_half(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


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
        padded = -(-keys.shape[1] // _c().lanes()) * _c().lanes()
        self.n_weights = queries.shape[0] * queries.shape[1] * n_heads * padded
        self._room = torch.empty(_c().attend_room(byref(self._batch)))

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
        _c().attend(
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
        _c().attend_back(
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
        right: (N,) int64, contiguous.
        share: of the target distribution.

    Returns:
        log Σ exp of the logits and the right piece's logit, (N,) float32 each.
    """
    n, size = logits.shape
    log_z, right_logit, room = torch.empty(n), torch.empty(n), torch.empty(size + _c().lanes())
    _c().loss_rows(
        n, size, logits.data_ptr(), _is_half(logits), right.data_ptr(), share,
        log_z.data_ptr(), right_logit.data_ptr(), room.data_ptr(),
    )  # fmt: skip
    return log_z, right_logit


class Drawn(NamedTuple):
    """What dropout draws.

    Attributes:
        seed: of a random byte for each number, the same each time.
        threshold: numbers whose byte is below are dropped.
        scale: for those that are kept.
    """

    seed: int
    threshold: int
    scale: float


def add_dropped(x: Tensor | None, update: Tensor, drawn: Drawn, dtype: torch.dtype) -> Tensor:
    """Return x + scale · update, of update what is dropped left out.

    Args:
        x: float32, contiguous; None: zeros.
        update: of x's shape, float32 or bfloat16, contiguous.
        drawn: what of it is dropped.
        dtype: of the result, float32 or bfloat16.
    """
    result = torch.empty_like(update, dtype=dtype)
    start = None if x is None else x.data_ptr()
    _c().add_dropped(
        update.numel(), *drawn, start, update.data_ptr(), _is_half(update),
        result.data_ptr(), _is_half(result),
    )  # fmt: skip
    return result


def normalise(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer norm of rows, (R, D), and their means and inverse deviations, (R,) float32.

    Args:
        x: (R, D) float32, contiguous, D a multiple of the lanes.
        weight: (D,) float32.
        bias: (D,) float32.
        epsilon: added to the variance.
        dtype: of the result, float32 or bfloat16.
    """
    n, width = x.shape
    y, mean, inverse = torch.empty_like(x, dtype=dtype), torch.empty(n), torch.empty(n)
    _c().normalise(
        n, width, x.data_ptr(), weight.data_ptr(), bias.data_ptr(), epsilon, y.data_ptr(), _is_half(y),
        mean.data_ptr(), inverse.data_ptr(),
    )  # fmt: skip
    return y, mean, inverse


def normalise_back(
    x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor, of_y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias, float32, from that of the layer norm, contiguous."""
    of_x, of_weight, of_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
    _c().normalise_back(
        *x.shape, x.data_ptr(), weight.data_ptr(), mean.data_ptr(), inverse.data_ptr(), of_y.data_ptr(),
        _is_half(of_y), of_x.data_ptr(), of_weight.data_ptr(), of_bias.data_ptr(),
    )  # fmt: skip
    return of_x, of_weight, of_bias
