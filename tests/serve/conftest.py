"""A service on the tiny trained model, without a network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from phrases import Trained
from starlette.testclient import TestClient

from translator.serve.access import Access
from translator.serve.app import make_app
from translator.serve.limits import Limits
from translator.serve.metrics import Metrics
from translator.serve.service import Service
from translator.translation.inference import Translator

Serve = Callable[..., TestClient]


@pytest.fixture(scope="session")
def model(trained: Trained) -> Translator:
    """The tiny model, loaded once; read it, do not change it."""
    return Translator.load(trained.model)


@pytest.fixture
def serve(model: Translator, one_thread: None) -> Iterator[Serve]:
    """A function `(access=, limits=, translator=, …) -> client` that starts a service on the tiny model."""
    with ExitStack() as services:

        def start(
            *,
            access: Access = Access(),  # noqa: B008
            limits: Limits = Limits(),  # noqa: B008
            translator: Translator = model,
            batch_tokens: int = 500,
            explain: Callable[[Translator, str, str], str] | None = None,
            log_text: bool = False,
        ) -> TestClient:
            service = Service(
                translator,
                limits=limits,
                metrics=Metrics(),
                batch_tokens=batch_tokens,
                explain=explain,
                log_text=log_text,
            )
            client = TestClient(make_app(service, access), base_url="http://localhost")
            return services.enter_context(client)

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """A client of a service with the default settings."""
    return serve()
