"""The operations of `native.c`: compiled when first needed, loaded, and called through ctypes.

PyTorch alone computes the same. These are faster on a CPU, as intermediate results of a short sentence stay
in the L1 cache. They run on one thread and release the interpreter lock, so replicas do not wait for each
other here.
"""

import ctypes
import os
import shlex
import subprocess
import tempfile
from ctypes import POINTER, Structure, byref, c_float, c_int, c_int64, c_long, c_uint64, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from translator.engine.packing import PackedLayout

SOURCE = Path(__file__).with_name("native.c")
#: Compiling takes half a second; a compiler that takes longer than this hangs.
COMPILER_TIMEOUT_SECONDS = 60
#: No fast math, whatever `$CC` asks for: the exponential relies on the rounding of its sums.
OPTIONS = [
    *("-O3", "-march=native", "-fno-fast-math", "-fno-math-errno", "-fno-trapping-math"),
    *("-shared", "-fPIC"),
]


class _Batch(Structure):
    """`batch` in C."""

    _fields_ = [
        *((name, c_long) for name in ("n_sentences", "n_heads", "width")),
        *((name, c_void_p) for name in ("query_cu_seqlens", "key_cu_seqlens")),
        *((name, c_void_p) for name in ("query_indices", "key_indices")),
        *((name, c_long) for name in ("query_length", "key_length")),
        ("is_bf16", c_int),
    ]


def load_native() -> "Native | None":
    """Compile and load the C operations, once per process and compiler: half a second.

    Returns:
        None if there is no compiler or it fails; `problem` says why.
    """
    found = _compiled(_command())
    return None if isinstance(found, str) else found


def problem() -> str | None:
    """Return why there are no C operations: the command, and how it ended or what the loader said."""
    found = _compiled(_command())
    return found if isinstance(found, str) else None


def _command() -> str:
    """The compiler: `$CC` or `cc`."""
    return os.environ.get("CC", "").strip() or "cc"


@cache
def _compiled(command: str) -> "Native | str":
    """The C operations, or why there are none. The library lies in a temporary folder until loaded."""
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            library = Path(folder, "native.so")
            reason = _compile(command, library)
            if reason is not None:
                return f"{command!r} ({reason}) does not compile C"
            return Native(ctypes.CDLL(str(library)))
    except OSError as error:
        return (
            f"what {command!r} made cannot be loaded ({error}); if programs may not run in the temporary "
            "folder, name another in $TMPDIR"
        )
    except AttributeError as error:
        return f"what {command!r} made lacks a function ({error})"


def _compile(command: str, library: Path) -> str | None:
    """Compile, or return why that failed."""
    try:
        words = [*shlex.split(command), *OPTIONS, str(SOURCE), "-o", str(library), "-lm"]
        done = subprocess.run(
            words, check=False, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=COMPILER_TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end within {COMPILER_TIMEOUT_SECONDS} s"
    except OSError as error:
        return str(error.strerror)
    except ValueError as error:  # cannot be split into words
        return str(error)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        said = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
        how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        return f"{how}: {said.strip()[:200]}" if said else how
    return None if library.exists() else "exit code 0, but no library was made"


class Native:
    """The C operations. Tensors are contiguous, on the CPU, and of the dtypes stated."""

    def __init__(self, library: ctypes.CDLL):
        """Declare the types of a library's functions.

        Raises:
            AttributeError: it lacks one.
        """
        pointer = c_void_p
        library.attention_workspace.argtypes = [POINTER(_Batch)]
        library.varlen_attention.argtypes = [POINTER(_Batch), *[pointer] * 7]
        library.varlen_attention_backward.argtypes = [POINTER(_Batch), *[pointer] * 7]
        library.softmax_cross_entropy.argtypes = [
            *(c_long, c_long, pointer, c_int, pointer, c_float), *[pointer] * 3
        ]  # fmt: skip
        library.dropout_add.argtypes = [
            *(c_long, c_uint64, c_int, c_float, pointer, pointer, c_int, pointer, c_int)
        ]  # fmt: skip
        library.layer_norm.argtypes = [
            *(c_long, c_long), *[pointer] * 3, *(c_float, pointer, c_int), *[pointer] * 2
        ]  # fmt: skip
        library.layer_norm_backward.argtypes = [*(c_long, c_long), *[pointer] * 5, c_int, *[pointer] * 3]
        library.lanes.restype = library.attention_workspace.restype = c_long
        for name in (
            *("varlen_attention", "varlen_attention_backward", "softmax_cross_entropy", "dropout_add"),
            *("layer_norm", "layer_norm_backward"),
        ):
            getattr(library, name).restype = None
        self._c = library
        #: Floats in a vector register.
        self.lanes = int(library.lanes())

    def supports(self, *tensors: Tensor, width: int | None = None) -> bool:
        """Whether tensors are float32 or bfloat16 on a CPU, and rows of `width` fill whole registers."""
        return all(
            x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) for x in tensors
        ) and (width is None or width % self.lanes == 0)

    def attention(
        self, query: Tensor, kv: Tensor, mask: Tensor, queries: PackedLayout, keys: PackedLayout, n_heads: int
    ) -> tuple[Tensor, Tensor]:
        """Attend within each sentence, on packed rows.

        Args:
            query: (R, D) float32 or bfloat16.
            kv: (R', 2 D) of the same dtype, keys beside values.
            mask: (1 or B, 1, 1 or Q, 1 or K) bool.
            queries: layout of the queries.
            keys: layout of keys and values.
            n_heads: H.

        Returns:
            (R, D), zero in the extra rows, and the weights for `attention_backward`.
        """
        if mask.dtype != torch.bool:
            raise TypeError(f"the mask is {mask.dtype}, not bool")
        batch, workspace = self._batch(query, queries, keys, n_heads)
        mask = mask.expand(queries.shape[0], 1, queries.shape[1], keys.shape[1])
        strides = (c_int64 * 3)(mask.stride(0), mask.stride(2), mask.stride(3))
        padded = -(-keys.shape[1] // self.lanes) * self.lanes
        weights = _float32(queries.shape[0] * queries.shape[1] * n_heads * padded)
        attended = _zero_beyond(query, queries.n_tokens)
        self._c.varlen_attention(
            byref(batch), query.data_ptr(), kv.data_ptr(), mask.data_ptr(), strides,
            attended.data_ptr(), weights.data_ptr(), workspace.data_ptr(),
        )  # fmt: skip
        return attended, weights

    def attention_backward(
        self,
        d_attended: Tensor,
        query: Tensor,
        kv: Tensor,
        weights: Tensor,
        queries: PackedLayout,
        keys: PackedLayout,
        n_heads: int,
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of `query` and `kv`, zero in the extra rows."""
        batch, workspace = self._batch(query, queries, keys, n_heads)
        d_query, d_kv = _zero_beyond(query, queries.n_tokens), _zero_beyond(kv, keys.n_tokens)
        self._c.varlen_attention_backward(
            byref(batch), query.data_ptr(), kv.data_ptr(), weights.data_ptr(), d_attended.data_ptr(),
            d_query.data_ptr(), d_kv.data_ptr(), workspace.data_ptr(),
        )  # fmt: skip
        return d_query, d_kv

    def _batch(
        self, query: Tensor, queries: PackedLayout, keys: PackedLayout, n_heads: int
    ) -> tuple[_Batch, Tensor]:
        """The sentences of a batch as C takes them, and memory to work in."""
        batch = _Batch(
            queries.shape[0], n_heads, query.size(1) // n_heads,
            queries.cu_seqlens.data_ptr(), keys.cu_seqlens.data_ptr(),
            queries.indices.data_ptr(), keys.indices.data_ptr(),
            queries.shape[1], keys.shape[1], query.dtype == torch.bfloat16,
        )  # fmt: skip
        return batch, _float32(self._c.attention_workspace(byref(batch)))

    def softmax_cross_entropy_(
        self, logits: Tensor, targets: Tensor, confidence: float
    ) -> tuple[Tensor, Tensor]:
        """Turn logits into softmax − confidence · one_hot(target), in place.

        Args:
            logits: (N, V) float32 or bfloat16.
            targets: (N,) int64.
            confidence: probability of the target in the target distribution.

        Returns:
            log Z and the target's logit, (N,) float32 each.
        """
        n, size = logits.shape
        log_z, target_logit, workspace = _float32(n), _float32(n), _float32(size + self.lanes)
        self._c.softmax_cross_entropy(
            n, size, logits.data_ptr(), logits.dtype == torch.bfloat16, targets.data_ptr(), confidence,
            log_z.data_ptr(), target_logit.data_ptr(), workspace.data_ptr(),
        )  # fmt: skip
        return log_z, target_logit

    def dropout_add(
        self, x: Tensor | None, update: Tensor, *, seed: int, threshold: int, dtype: torch.dtype
    ) -> Tensor:
        """Return x + dropout(update).

        Args:
            x: float32; None: zeros.
            update: of x's shape, float32 or bfloat16.
            seed: of one random byte per value; the same seed drops the same values.
            threshold: values whose byte is below it are dropped, the others scaled up.
            dtype: of the result, float32 or bfloat16.
        """
        result = torch.empty_like(update, dtype=dtype)
        self._c.dropout_add(
            update.numel(), seed, threshold, 256 / (256 - threshold), None if x is None else x.data_ptr(),
            update.data_ptr(), update.dtype == torch.bfloat16, result.data_ptr(), dtype == torch.bfloat16,
        )  # fmt: skip
        return result

    def layer_norm(
        self, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a layer norm of rows, and their means and reciprocal standard deviations, (R,) float32.

        Args:
            x: (R, D) float32, D a multiple of `lanes`.
            weight: (D,) float32.
            bias: (D,) float32.
            epsilon: added to the variance.
            dtype: of the result, float32 or bfloat16.
        """
        n, width = x.shape
        y, mean, rstd = torch.empty_like(x, dtype=dtype), _float32(n), _float32(n)
        self._c.layer_norm(
            n, width, x.data_ptr(), weight.data_ptr(), bias.data_ptr(), epsilon, y.data_ptr(),
            dtype == torch.bfloat16, mean.data_ptr(), rstd.data_ptr(),
        )  # fmt: skip
        return y, mean, rstd

    def layer_norm_backward(
        self, d_y: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of x, weight and bias, float32."""
        d_x, d_weight, d_bias = torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        self._c.layer_norm_backward(
            *x.shape, x.data_ptr(), weight.data_ptr(), mean.data_ptr(), rstd.data_ptr(), d_y.data_ptr(),
            d_y.dtype == torch.bfloat16, d_x.data_ptr(), d_weight.data_ptr(), d_bias.data_ptr(),
        )  # fmt: skip
        return d_x, d_weight, d_bias


def _float32(n: int) -> Tensor:
    """Uninitialised memory, whatever the default dtype is."""
    return torch.empty(n, dtype=torch.float32)


def _zero_beyond(like: Tensor, n: int) -> Tensor:
    """Uninitialised memory of the shape and dtype of `like`, zero from row n on."""
    made = torch.empty_like(like)
    made[n:] = 0
    return made
