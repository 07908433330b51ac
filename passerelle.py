"""The start of the command `translator`: outside the package, to say if another one is in its place."""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line, or say in one line that another package named `translator` shadows ours."""
    ours = Path(__file__).resolve().with_name("translator")
    spec = find_spec("translator")
    if spec and spec.origin and Path(spec.origin).resolve() != ours / "__init__.py":
        sys.exit(
            f"error: {spec.origin} shadows Passerelle's package `translator` in {ours}; "
            "rename or uninstall it, or take its folder out of PYTHONPATH"
        )
    try:
        from translator.cli import main as run
    except ImportError as error:
        if not str(error.name).startswith("translator"):
            raise
        sys.exit(f"error: {ours}: damaged, perhaps by a package of the same name ({error}); install again")
    run()


if __name__ == "__main__":
    main()
