"""The verb `serve`: a model as an HTTP service with a web page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator import console
from translator.cli.options import DeviceOption, ModelOption, PrecisionOption, SplitOption, load
from translator.errors import ServeError

if TYPE_CHECKING:
    from translator.translation.inference import Translator


#: Of an answer or a request: a day. Timers take no number without end.
_MOST_SECONDS = 86_400


def serve_command(
    model: ModelOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 5000,
    key_file: Annotated[
        Path | None,
        typer.Option("--api-key-file", help="The API key. [default: PASSERELLE_API_KEY in the environment]"),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", help="A page elsewhere that may ask; repeatable."),
    ] = None,
    public_hosts: Annotated[
        list[str] | None,
        typer.Option("--public-host", help="A name that a proxy on this machine gives it; repeatable."),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", min=1, help="Of waiting sentences translated together.")
    ] = 500,
    max_characters: Annotated[int, typer.Option("--max-characters", min=1, help="Of a text.")] = 5_000,
    max_texts: Annotated[int, typer.Option("--max-texts", min=1, help="In a request.")] = 64,
    max_body_bytes: Annotated[int, typer.Option("--max-body-bytes", min=1, help="Of a request.")] = 1_000_000,
    max_requests: Annotated[int, typer.Option("--max-requests", min=1, help="Answered at once.")] = 128,
    request_seconds: Annotated[
        float,
        typer.Option("--request-seconds", min=0.1, max=_MOST_SECONDS, help="For an answer."),
    ] = 30,
    receive_seconds: Annotated[
        float,
        typer.Option(
            "--receive-seconds",
            min=0.1,
            max=_MOST_SECONDS,
            help="For a request to come in.",
        ),
    ] = 15,
    log_text: Annotated[bool, typer.Option("--log-text", help="Print texts and translations.")] = False,
    split_sentences: SplitOption = "auto",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
) -> None:
    """Serve a web page and LibreTranslate's HTTP interface, on this machine alone unless told otherwise."""
    try:
        from translator.serve.access import access_for
        from translator.serve.limits import Limits
        from translator.serve.server import address_of, open_socket, run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "translator":
            raise
        raise ServeError(f"serving needs {error.name}; install it: pip install 'passerelle[serve]'") from None
    access = access_for(
        host, key_file=key_file, origins=tuple(origins or ()), public_hosts=tuple(public_hosts or ())
    )
    limits = Limits(
        max_characters=max_characters,
        max_texts=max_texts,
        max_body_bytes=max_body_bytes,
        max_requests=max_requests,
        request_seconds=request_seconds,
        receive_seconds=receive_seconds,
    )
    with open_socket(host, port) as listener:  # what cannot be is said before the model is loaded
        translator = load(model, device, precision, split_sentences=split_sentences)
        from translator.serve.app import make_app
        from translator.serve.metrics import Metrics
        from translator.serve.service import Service

        service = Service(
            translator,
            limits=limits,
            metrics=Metrics(),
            batch_tokens=batch_tokens,
            explain=_explanation,
            log_text=log_text,
        )
        address = address_of(listener)
        pair = f"{service.source_language} → {service.target_language}"
        run(
            make_app(service, access),
            listener,
            limits=limits,
            when_ready=lambda end: console.log(f"serving {pair} at {address} (Ctrl-C ends it)"),
        )
    console.log("finished")


def _explanation(translator: "Translator", text: str, prefix: str) -> str:
    from translator.explain import explain, to_html

    return to_html(explain(translator, text, prefix=prefix))
