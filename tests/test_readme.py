"""The README's commands run, offline, with training budgets of seconds; what it names exists."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

#: Overrides for short outputs: an untrained model ends no sentence, and no command needs one.
SHORT = "search.max_length_ratio=0.1 search.max_length_offset=2"
#: In a README command that needs data which are not here, or that would start this test again.
LEFT_OUT = ("make test", "multi30k", "PIP_ARGS")


def console_commands() -> list[str]:
    """The lines after `$ ` in the README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tracked files, with this environment as its `.venv`."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    environment = Path(sys.prefix)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(environment / "bin")
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_commands_run_in_order_and_then_the_python_example(checkout: Path, tiny_corpus: Path) -> None:
    commands = [c for c in console_commands() if not any(word in c for word in LEFT_OUT)]
    assert any(c.startswith("make train") for c in commands)
    assert any("translate" in c for c in commands)
    assert any(c.startswith("make evaluate") for c in commands)
    for command in commands:
        if command.startswith("make train"):
            few_steps = "train.max_steps=5 validation.every_steps=5 train.embedding_init=normal"
            command += f" ARGS='{few_steps} {SHORT}'"
        assert run(command, checkout).strip(), command
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (checkout / "example.py").write_text(example, encoding="utf-8")
    assert len(run(f"{sys.executable} example.py", checkout).splitlines()) == 3
    adapt_the_trained_model(checkout, tiny_corpus)


def adapt_the_trained_model(checkout: Path, corpus: Path) -> None:
    """The steps for a corpus of one's own, which start from the model that `make train` gave."""
    for language in ("fr", "en"):
        lines = (corpus / f"train.{language}").read_text(encoding="utf-8")
        (checkout / "data" / f"my-corpus.{language}").write_text(lines, encoding="utf-8")
    (checkout / "text.fr").write_text("Le chat dort.\n\nOù est ma clé ?\n", encoding="utf-8")
    found = re.findall(r"`(translator (?:import|check-data|train|evaluate|translate) [^`]+)`", README)
    verbs = ["import", "check-data", "train", "evaluate", "translate"]
    assert [command.split()[1] for command in found] == verbs
    for command in found:
        command = command.replace("FILE…", "data/my-corpus.fr data/my-corpus.en")
        if command.split()[1] == "train":
            command = command.replace("train.max_minutes=2", "train.max_minutes=null")
            command += f" train.max_steps=8 validation.every_steps=8 {SHORT}"
        run(f".venv/bin/{command}", checkout)
    assert len((checkout / "text.en").read_text(encoding="utf-8").split("\n")) == 4


def run(command: str, checkout: Path) -> str:
    """Run a command of a shell, and return what it wrote to standard output."""
    done = subprocess.run(
        command, shell=True, cwd=checkout, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_every_file_that_the_pages_name_exists() -> None:
    assert len(PAGES) >= 15
    missing = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        names = re.findall(
            r"`((?:configs|docs|scripts|tests|translator|data|model|search|training)/[\w./-]+)`", text
        )
        names += re.findall(r"\]\((?!http)([\w./-]+)\)", text)
        for name in names:
            places = (ROOT / name, ROOT / "translator" / name, page.parent / name)
            if not any(place.exists() for place in places) and not name.startswith("data/cache"):
                missing.append(f"{page.name}: {name}")
    assert missing == []


def names_of_code(page: Path) -> set[str]:
    """File names in backticks that end like code, with or without folders."""
    text = page.read_text(encoding="utf-8")
    return set(re.findall(r"`([\w./-]+\.(?:py|c|yaml|tsv|toml|lock))`", text))


def test_every_code_file_that_the_pages_name_exists() -> None:
    """A file may be named by the end of its path, such as `packing.py`."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    ends = {"/".join(Path(name).parts[i:]) for name in listed.stdout.splitlines() for i in range(9)}
    written = {"config.yaml"}  # by a run
    named = {(page.name, name) for page in PAGES for name in names_of_code(page)}
    assert len(named) > 100
    assert {(page, name) for page, name in named if name not in ends | written} == set()


def known_keys() -> set[str]:
    from translator.config.reference import field_reference

    return {key for key, *_ in field_reference()}


def test_every_configuration_key_that_the_pages_name_exists() -> None:
    known = known_keys()
    groups = {key.rpartition(".")[0] for key in known}
    sections = {key.split(".")[0] for key in known}
    unknown = []
    for page in [*PAGES, *(ROOT / "configs").glob("*.yaml")]:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"\b([a-z]+(?:\.[a-z_]+)+)(?==)|`([a-z]+(?:\.[a-z_]+)+)`", text):
            key = "".join(name)
            is_file = key.endswith((".py", ".tsv", ".json", ".yaml"))
            if key.split(".")[0] in sections and not is_file and key not in known | groups:
                unknown.append(f"{page.name}: {key}")
    assert unknown == []


def code_of(page: Path) -> str:
    """Code blocks and spans of a page, one per line."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", text))


def test_every_make_target_that_the_pages_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    named = {
        name for page in PAGES for name in re.findall(r"^(?:\$ )?make ([a-z-]+)", code_of(page), re.MULTILINE)
    }
    assert len(named) > 8
    assert named <= set(phony.split())


#: Options of pip that the pages name by themselves.
OTHERS = {
    *("--no-build-isolation", "--force-reinstall", "--no-cache-dir"),
    *("--ntasks", "--ntasks-per-node", "--max-restarts"),
}


def test_every_command_option_that_the_pages_name_exists() -> None:
    from typer.main import get_command

    from translator.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {
        name: {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name, command in commands.items()
    }
    used = []
    for page in PAGES:
        for verb, arguments in re.findall(
            r"(?<![\w/.-])translator (?!import )([a-z][a-z-]+)([^\n#|]*)", code_of(page)
        ):
            assert verb in options, f"{page.name}: translator {verb}"
            used += [(verb, option) for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", arguments)]
    assert len(used) > 15
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts").rglob("*.py"))
    everywhere = set().union(*options.values(), re.findall(r'"(--[a-z-]+)"', scripts), OTHERS)
    alone = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`(--[a-z][a-z-]*)", page.read_text("utf-8"))
    }
    assert {(page, name) for page, name in alone if name not in everywhere} == set()
    assert [(verb, option) for verb, option in used if option not in options[verb] | {"--help"}] == []


def test_every_anchor_that_the_pages_link_to_exists() -> None:
    missing = []
    for page in PAGES:
        for name, anchor in re.findall(
            r"\]\((?!http)([\w./-]*)#([\w-]+)\)", page.read_text(encoding="utf-8")
        ):
            target = page.parent / name if name else page
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            if anchor not in anchors:
                missing.append(f"{page.name}: {name}#{anchor}")
    assert missing == []
