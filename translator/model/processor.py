"""What this machine's processor has instructions for, beside float32."""

import torch


def multiplies_bfloat16() -> bool:
    """Whether bfloat16 products are quicker than float32 ones; without instructions, 100 times slower."""
    return _has({"avx512_bf16", "amx_bf16"})


def multiplies_int8() -> bool:
    """Whether int8 products are summed in 32 bits; without instructions for it, in pairs in 16 bits first."""
    return _has({"avx512_vnni", "avx_vnni", "amx_int8"})


def _has(names: set[str]) -> bool:
    ask = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch cannot say
    return ask is not None and any(value and name in names for name, value in ask().items())
