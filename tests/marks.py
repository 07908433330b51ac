"""What tests need of the machine that they run on."""

import pytest

from translator.engine.runtime import multiplies_bfloat16

needs_bfloat16 = pytest.mark.skipif(not multiplies_bfloat16(), reason="the CPU does not multiply bfloat16")
