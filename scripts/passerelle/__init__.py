"""The start of the command `translator`: outside the package, to say if another one is in its place."""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line, or say in one line that another package named `translator` shadows ours."""
    spec = find_spec("translator")
    found = Path(spec.origin) if spec and spec.origin else None
    if found is not None and not found.with_name("model_folder.py").is_file():
        sys.exit(
            f"error: {found} shadows Passerelle's package of the same name; "
            "rename or uninstall it, or take its folder out of PYTHONPATH"
        )
    try:
        from translator.cli import main as run
    except ImportError as error:
        if not str(error.name).startswith("translator"):
            raise
        where = found.parent if found else "translator"
        sys.exit(f"error: {where}: damaged, perhaps by a package of the same name ({error}); install again")
    run()
