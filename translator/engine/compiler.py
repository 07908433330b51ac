"""Compilation of `native.c` into a shared library."""

import os
import shlex
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("native.c")
#: A compiler that runs longer than this is assumed to hang, because it normally takes less than a second.
COMPILER_TIMEOUT_SECONDS = 60
#: Options for the compiler. Fast math is turned off even if `$CC` contains an option that turns it on,
#: because the exponential in `native.c` relies on exact rounding.
OPTIONS = [
    *("-O3", "-march=native", "-fno-fast-math", "-fno-math-errno", "-fno-trapping-math"),
    *("-shared", "-fPIC"),
]


def compiler_command() -> str:
    """Return the command that runs the C compiler: `$CC` if that variable is set and not blank, else `cc`."""
    return os.environ.get("CC", "").strip() or "cc"


def compile_library(command: str, library: Path) -> str | None:
    """Compile `native.c` into the file `library`. Return the reason if this failed, else None."""
    try:
        arguments = [*shlex.split(command), *OPTIONS, str(SOURCE), "-o", str(library), "-lm"]
        process = subprocess.run(
            arguments, check=False, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=COMPILER_TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"timed out after {COMPILER_TIMEOUT_SECONDS} s"
    except OSError as error:
        return str(error.strerror)
    except ValueError as error:  # `shlex` cannot parse the command
        return str(error)
    if process.returncode:
        lines = process.stderr.decode("utf-8", "replace").splitlines()
        reported = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
        code = process.returncode
        status = f"exit code {code}" if code > 0 else f"signal {-code}"
        return f"{status}: {reported.strip()[:200]}" if reported else status
    return None if library.exists() else "exit code 0, but no library was written"
