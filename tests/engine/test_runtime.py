"""The process that the engines run in: memory, and oneDNN's cache."""

import os
import subprocess
import sys

import pytest
import torch

PAGE_FAULTS = """
import resource, sys
import torch
from translator.engine.memory import tune_malloc
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert tune_malloc()
for _ in range(10):
    torch.ones(12_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(12_000_000)  # 48 MB, above any threshold of glibc's own
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_blocks_are_reused_without_page_faults() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", PAGE_FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 12 million floats are 11,719 pages of 4 KiB: already there when kept, mapped ten times when not.
    assert faults("keep") < faults("leave") / 4


GROWTH = """
import re, sys
from pathlib import Path
import torch
from translator.engine.memory import cap_onednn_cache
torch.set_num_threads(1)
if sys.argv[1] == "few":
    cap_onednn_cache()

def private_kb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))

weight = torch.ones(512, 512, dtype=torch.bfloat16)
before = 0
for rows in range(100, 1100):
    torch.ones(rows, 512, dtype=torch.bfloat16) @ weight
    before = before or private_kb()
print(private_kb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="memory is read from /proc, and the CPU multiplies bfloat16 by oneDNN",
)
def test_kernels_of_many_shapes_are_not_all_kept() -> None:
    # Training in this process, in another test, may have set them. With AMX, oneDNN keeps some of a kernel's
    # memory for good, whatever its cache holds.
    ours = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"

    def growth(how: str) -> int:
        command = [sys.executable, "-c", GROWTH, how]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(ran.stdout)

    assert growth("few") < growth("all") / 2
