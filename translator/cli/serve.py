"""The subcommand `serve`: run a model as an HTTP service with a web page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from translator import console
from translator.cli.options import DeviceOption, ModelOption, PrecisionOption, SplitOption, load
from translator.errors import ServeError

if TYPE_CHECKING:
    from socket import socket

    from translator.serve.access import Access
    from translator.serve.limits import Limits
    from translator.translation.inference import Translator

#: The longest timeout that an option accepts, in seconds: one day. Huge values would overflow the timers.
_MOST_SECONDS = 86_400


HostOption = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0: any free port.")
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--api-key-file", help="The API key. [default: PASSERELLE_API_KEY in the environment]"),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-origin",
        metavar="URL",
        help="Origin of another website that may use the service; repeatable.",
    ),
]
PublicHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--public-host", metavar="NAME", help="Host name that a proxy on this machine uses; repeatable."
    ),
]
BatchTokensOption = Annotated[
    int, typer.Option("--batch-tokens", min=1, help="Maximum tokens per batch of waiting sentences.")
]
MaxCharactersOption = Annotated[
    int, typer.Option("--max-characters", min=1, help="Maximum length of a text.")
]
MaxTextsOption = Annotated[
    int, typer.Option("--max-texts", min=1, help="Maximum number of texts per request.")
]
MaxBodyOption = Annotated[
    int, typer.Option("--max-body-bytes", min=1, help="Maximum size of a request body.")
]
MaxRequestsOption = Annotated[
    int, typer.Option("--max-requests", min=1, help="Maximum number of concurrent requests.")
]
RequestSecondsOption = Annotated[
    float,
    typer.Option("--request-seconds", min=0.1, max=_MOST_SECONDS, help="Timeout for computing a response."),
]
ReceiveSecondsOption = Annotated[
    float,
    typer.Option("--receive-seconds", min=0.1, max=_MOST_SECONDS, help="Timeout for receiving a request."),
]
LogTextOption = Annotated[bool, typer.Option("--log-text", help="Log texts and translations.")]


def serve_command(
    model: ModelOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 5000,
    key_file: KeyFileOption = None,
    origins: OriginOption = None,
    public_hosts: PublicHostOption = None,
    batch_tokens: BatchTokensOption = 500,
    max_characters: MaxCharactersOption = 5_000,
    max_texts: MaxTextsOption = 64,
    max_body_bytes: MaxBodyOption = 1_000_000,
    max_requests: MaxRequestsOption = 128,
    request_seconds: RequestSecondsOption = 30,
    receive_seconds: ReceiveSecondsOption = 15,
    log_text: LogTextOption = False,
    split_sentences: SplitOption = "auto",
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
) -> None:
    """Serve a web page and a LibreTranslate-compatible HTTP API, by default on this machine only."""
    _check_installed()
    from translator.serve.access import access_for
    from translator.serve.limits import Limits
    from translator.serve.server import open_socket

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
    # The socket is opened before the model is loaded, so that an error, such as a port that is already in
    # use, is reported at once.
    with open_socket(host, port) as listener:
        translator = load(model, device, precision, split_sentences=split_sentences)
        _serve(
            translator, listener, access=access, limits=limits, batch_tokens=batch_tokens, log_text=log_text
        )
    console.log("finished")


def _check_installed() -> None:
    try:
        import translator.serve.server  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "translator":
            raise
        raise ServeError(f"serving needs {error.name}; install it: pip install 'passerelle[serve]'") from None


def _serve(
    translator: "Translator",
    listener: "socket",
    *,
    access: "Access",
    limits: "Limits",
    batch_tokens: int,
    log_text: bool,
) -> None:
    from translator.serve.app import make_app
    from translator.serve.metrics import Metrics
    from translator.serve.server import address_of, run
    from translator.serve.service import Service

    service = Service(
        translator,
        limits=limits,
        metrics=Metrics(),
        batch_tokens=batch_tokens,
        explain=_explanation,
        log_text=log_text,
    )
    pair, address = f"{service.source_language} → {service.target_language}", address_of(listener)
    run(
        make_app(service, access),
        listener,
        limits=limits,
        on_ready=lambda stop: console.log(f"serving {pair} at {address} (Ctrl-C ends it)"),
    )


def _explanation(translator: "Translator", text: str, prefix: str) -> str:
    from translator.explain import explain, to_html

    return to_html(explain(translator, text, prefix=prefix))
