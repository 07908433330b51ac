"""The subcommand `explain`: write a page that shows how a translation was found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from translator.cli.options import BeamOption, DeviceOption, ModelOption, decoded, load
from translator.cli.output import check_output, replaces, write_output
from translator.errors import PasserelleError, UsageError


def explain_command(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A sentence.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="HTML page to write; it works offline.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="PNG file to write: averaged cross-attention.")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="JSON file to write: all values.")] = None,
    model: ModelOption = None,
    beam: BeamOption = None,
    prefix: Annotated[str, typer.Option("--prefix", help="Text that the translation must start with.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    device: DeviceOption = "cpu",
) -> None:
    """Translate a sentence and write a page that shows attention, probabilities and the beam search."""
    wanted = {"--output": output, "--png": png, "--json": as_json}
    files = {option: path for option, path in wanted.items() if path is not None}
    if not files:
        raise UsageError("nothing to write; give --output PAGE.html, --png FILE or --json FILE")
    if len({path.resolve() for path in files.values()}) < len(files):
        raise UsageError(
            "two of --output, --png and --json name the same file; give a different file for each"
        )
    text = decoded(text)
    if not text.strip():
        raise UsageError("the text is blank; give a sentence to explain")
    for option, path in files.items():
        check_output(option, path)
        if replaces(path) and not force:
            raise PasserelleError(f"{option} {path}: already exists; name another file, or add --force")
    translator = load(model, device)
    from translator.explain import explain, to_html, to_json, to_png

    explanation = explain(translator, text, beam_size=beam, prefix=prefix)
    # All contents are rendered before the first file is written, so that no file is written if one of them
    # cannot be rendered.
    render: dict[str, Callable[[], bytes]] = {
        "--output": lambda: to_html(explanation).encode(),
        "--png": lambda: to_png(explanation),
        "--json": lambda: (
            json.dumps(to_json(explanation), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        ),
    }
    contents = {option: render[option]() for option in files}
    print(explanation.translation)
    for option, path in files.items():
        write_output(option, path, contents[option])
        print(f"written: {path}")
