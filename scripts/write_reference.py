"""Generate the configuration reference, and the version of the C sources where it is compared.

python scripts/write_reference.py           write configs/schema.json, docs/configuration.md,
                                            translator/engine/csrc/version.h and native_library.py's VERSION
python scripts/write_reference.py --check   change nothing; exit 1 if one is out of date
"""

import argparse
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

from translator.config import Config
from translator.config.reference import field_reference, json_schema

ROOT = Path(__file__).resolve().parent.parent

VERSION_HEAD = "/* A hash of the C sources and their options, written by scripts/write_reference.py. */\n"

HEAD = """# Configuration

Every key of a file in `configs/`, written by `scripts/write_reference.py` from
`translator/config/sections.py`. A key can be overridden on the command line:
`translator train configs/phrasebook.yaml train.seed=2`.
`translator train CONFIG --print-config` shows the whole configuration, defaults included.
"""


def reference() -> str:
    """Return the text of docs/configuration.md: a table for each section."""
    lines = [HEAD.rstrip("\n")]
    section = ""
    for key, allowed, default, description in field_reference():
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            about = Config.model_fields[section].annotation.__doc__ or ""
            lines += ["", f"## {section}", "", about.strip(), ""]
            lines += ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
        allowed = re.sub(r"of the form (\S+)", r"of the form `\1`", allowed)
        cells = [f"`{key}`", allowed, f"`{default}`", description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def native_version(root: Path) -> int:
    """Return 31 bits of a hash of the C sources and of the options with which they are built."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    hashed = hashlib.sha256(json.dumps(project["tool"]["setuptools"]["ext-modules"]).encode())
    for path in sorted((root / "translator/engine/csrc").iterdir()):
        if path.suffix in (".c", ".h") and path.name != "version.h":
            hashed.update(path.read_bytes())
    return int.from_bytes(hashed.digest()[:4], "big") >> 1


def contents(root: Path) -> dict[Path, str]:
    """Return the expected content of each generated file below `root`."""
    version = f"0x{native_version(ROOT):08X}"
    module = (ROOT / "translator/engine/native_library.py").read_text(encoding="utf-8")
    return {
        root / "configs/schema.json": json_schema(),
        root / "docs/configuration.md": reference(),
        root / "translator/engine/csrc/version.h": f"{VERSION_HEAD}#define VERSION {version}\n",
        root / "translator/engine/native_library.py": re.sub(
            r"^VERSION = \w+$", f"VERSION = {version}", module, flags=re.MULTILINE
        ),
    }


def out_of_date(root: Path) -> list[Path]:
    """Return the generated files below `root` that are missing or out of date."""
    return [
        path
        for path, text in contents(root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    old = out_of_date(ROOT)
    if parser.parse_args().check:
        for path in old:
            print(f"{path.relative_to(ROOT)}: out of date; run python scripts/write_reference.py")
        return 1 if old else 0
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents(ROOT)[path], encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
