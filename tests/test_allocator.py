"""The allocator's settings reach glibc where there is one."""

import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, sys
import torch
from translator.allocator import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(10):
    torch.ones(16_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(16_000_000)  # 64 MB, above any threshold of glibc's own
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_blocks_are_reused_without_page_faults() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", PAGE_FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 16 million floats are 15,625 pages of 4 KiB: already there when kept, mapped twenty times when not.
    assert faults("keep") < faults("leave") / 4
