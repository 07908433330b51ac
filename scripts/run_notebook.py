"""Run docs/notebook.ipynb, and write it with its new outputs over itself, or to another file.

python scripts/run_notebook.py [OUTPUT]
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs/notebook.ipynb"


def main() -> None:
    # So that `!translator` is this environment's, as under `jupyter lab`.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, record_timing=False, coalesce_streams=True).execute()
    nbformat.write(notebook, sys.argv[1] if len(sys.argv) > 1 else NOTEBOOK)


if __name__ == "__main__":
    main()
