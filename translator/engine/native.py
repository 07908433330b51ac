"""The C operations of `csrc/training.c`, called through ctypes.

Each of these operations also has a PyTorch implementation. The C implementations are faster on a CPU, because
the intermediate results of a short sentence stay in the L1 cache. They are single-threaded and run without
the GIL, so that replicas (`replicas.py`) can run them in parallel.
"""

import ctypes
from ctypes import POINTER, Structure, byref, c_float, c_int, c_int64, c_long, c_uint64, c_void_p
from functools import cache

import torch
from torch import Tensor

from translator.engine.native_library import load_library
from translator.engine.packing import PackedLayout


class _Batch(Structure):
    """Mirror of the struct `batch` in `csrc/training.c`; both must have the same fields."""

    _fields_ = [
        *((name, c_long) for name in ("n_sentences", "n_heads", "width")),
        *((name, c_void_p) for name in ("query_cu_seqlens", "key_cu_seqlens")),
        *((name, c_void_p) for name in ("query_indices", "key_indices")),
        *((name, c_long) for name in ("query_length", "key_length")),
        ("is_bf16", c_int),
    ]


def load_native() -> "Native | None":
    """Return the C operations, or None if they are not available; `native_library.problem` has the reason."""
    library = load_library()
    return None if library is None else _native(library)


@cache
def _native(library: ctypes.CDLL) -> "Native":
    return Native(library)


class Native:
    """The C operations. All tensors must be contiguous, be on the CPU and have the documented dtypes."""

    def __init__(self, library: ctypes.CDLL):
        """Declare the argument types of the library's functions."""
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
        #: Number of floats in a vector register.
        self.lanes = int(library.lanes())

    def supports(self, *tensors: Tensor, width: int | None = None) -> bool:
        """Return whether the C operations can be used for tensors and, if given, a row width.

        The tensors must be float32 or bfloat16 on a CPU, and the width must be a multiple of `lanes`.
        """
        return all(
            x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) for x in tensors
        ) and (width is None or width % self.lanes == 0)

    def attention(
        self, query: Tensor, kv: Tensor, mask: Tensor, queries: PackedLayout, keys: PackedLayout, n_heads: int
    ) -> tuple[Tensor, Tensor]:
        """Compute attention within each sentence, on packed rows.

        Args:
            query: (R, D) float32 or bfloat16.
            kv: (R', 2 D), the keys and values, concatenated; of the same dtype as `query`.
            mask: bool, broadcastable to (B, 1, Q, K), True where a query may attend to a key.
            queries: layout of the queries.
            keys: layout of the keys and values.
            n_heads: H.

        Returns:
            The attended values, (R, D), and the attention weights, which `attention_backward` needs. The
            extra rows of the attended values (see `packing.py`) are zero.
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
        """Return the gradients of `query` and `kv`. The extra rows of both gradients are zero."""
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
        """Return the C struct that describes a batch, and scratch memory for the attention of this batch."""
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
        """Replace logits, in place, with softmax(logits) − confidence · one_hot(target).

        Args:
            logits: (N, V) float32 or bfloat16.
            targets: (N,) int64.
            confidence: 1 − ε, where ε is the label smoothing.

        Returns:
            Two tensors (N,) float32: log Σ exp(logits) for each row, and the logit of the target of each row.
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
            x: float32; None means zeros.
            update: float32 or bfloat16, of the same shape as x.
            seed: seed from which one random byte is drawn for each value of `update`. The same seed always
                drops the same values.
            threshold: a number from 0 to 255. A value is dropped if its random byte is below this number. The
                other values are multiplied by 256 / (256 − threshold).
            dtype: dtype of the result, float32 or bfloat16.
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
        """Return the layer norm of x, and the mean and the reciprocal standard deviation of each row of x.

        Args:
            x: (R, D) float32, where D is a multiple of `lanes`.
            weight: (D,) float32.
            bias: (D,) float32.
            epsilon: the number that is added to the variance.
            dtype: dtype of the layer norm, float32 or bfloat16.

        Returns:
            The layer norm, (R, D) in `dtype`; the means and the reciprocal standard deviations, (R,) float32
            each.
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
        """Return the float32 gradients of x, weight and bias, given the gradient `d_y` of the layer norm."""
        d_x, d_weight, d_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        self._c.layer_norm_backward(
            *x.shape, x.data_ptr(), weight.data_ptr(), mean.data_ptr(), rstd.data_ptr(), d_y.data_ptr(),
            d_y.dtype == torch.bfloat16, d_x.data_ptr(), d_weight.data_ptr(), d_bias.data_ptr(),
        )  # fmt: skip
        return d_x, d_weight, d_bias


def _float32(n: int) -> Tensor:
    """Return an uninitialised tensor of n float32 values, whatever torch's default dtype is."""
    return torch.empty(n, dtype=torch.float32)


def _zero_beyond(like: Tensor, n: int) -> Tensor:
    """Return a tensor with the shape and dtype of `like`: n uninitialised rows, followed by rows of zeros."""
    result = torch.empty_like(like)
    result[n:] = 0
    return result
