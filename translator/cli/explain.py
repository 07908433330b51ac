"""The subcommand `explain`: write a page that shows how a translation was found."""

import json
from pathlib import Path
from typing import Annotated

import typer

from translator.cli.options import BeamOption, DeviceOption, ModelOption, load
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
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
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
    contents = []
    if output is not None:
        contents.append(("--output", output, to_html(explanation).encode()))
    if png is not None:
        contents.append(("--png", png, to_png(explanation)))
    if as_json is not None:
        text = json.dumps(to_json(explanation), ensure_ascii=False, separators=(",", ":"))
        contents.append(("--json", as_json, f"{text}\n".encode()))
    print(explanation.translation)
    for option, path, content in contents:
        write_output(option, path, content)
        print(f"written: {path}")
