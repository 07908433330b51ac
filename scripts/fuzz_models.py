"""Inputs and checks of scripts/fuzz.py for model folders and for the service."""

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

from fuzz_inputs import ROOT, TEXTS, mutated, prose, spoilt

from translator.building import build_model
from translator.config.file import load_config, with_overrides
from translator.data.tokenizer import Tokenizer
from translator.errors import PasserelleError
from translator.files import sha256
from translator.model_folder import (
    CONFIG,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    load_model_folder,
    save_weights,
    write_manifest,
)
from translator.serve.access import Access
from translator.serve.app import make_app
from translator.serve.limits import Limits
from translator.serve.metrics import Metrics
from translator.serve.service import Service
from translator.translation.inference import Translator

#: Path, headers and body.
Request = tuple[str, list[tuple[bytes, bytes]], bytes]


def make_model(folder: Path) -> Path:
    """Write the folder of a tiny untrained model."""
    settings = ["model.width=8", "model.n_heads=2", "model.feed_forward=8", "model.max_length=24"]
    settings += ["model.n_encoder_layers=1", "model.n_decoder_layers=1", "tokenizer.vocabulary_size=400"]
    config = with_overrides(load_config(ROOT / "configs" / "phrasebook.yaml"), settings)
    tokenizer, _ = Tokenizer.train(TEXTS, config.tokenizer)
    save_weights(folder, build_model(config.model, len(tokenizer)).state_dict(), tokenizer, config)
    write_manifest(folder, {"multi_sentence_share": 0.0})
    return folder


class Model:
    """A model folder in which one file at a time is changed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def make(self, draw: Random) -> tuple[str, bytes]:
        name = draw.choice((CONFIG, CONFIG, MANIFEST, MANIFEST, WEIGHTS, TOKENIZER))
        content = self.files[name]
        if name in (CONFIG, MANIFEST):
            text = content.decode()
            return name, mutated(draw, text, [text]).encode("utf-8", "surrogatepass")
        return name, spoilt(draw, content)

    def check(self, given: tuple[str, bytes]) -> None:
        """Load the folder, with the checksum in the manifest adapted as an attacker would do."""
        name, content = given
        (self.folder / name).write_bytes(content)
        if name != MANIFEST:
            manifest = json.loads(self.files[MANIFEST])
            manifest["sha256"][name] = sha256(self.folder / name)
            (self.folder / MANIFEST).write_text(json.dumps(manifest))
        try:
            load_model_folder(self.folder)
        finally:
            for each in (name, MANIFEST):
                (self.folder / each).write_bytes(self.files[each])


class Web:
    """The service, without a network."""

    PATHS = "/translate /translate /detect /api/translate /api/align /api/alternatives /languages".split()
    KINDS = ("application/json",) * 4 + (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    )

    def __init__(self, folder: Path):
        self._loop = asyncio.new_event_loop()
        service = Service(Translator.load(folder), limits=Limits(), metrics=Metrics())
        self._app = make_app(service, Access())
        self._loop.run_until_complete(self._start(service))

    @staticmethod
    async def _start(service: Service) -> None:
        service.batcher.start()

    def make(self, draw: Random) -> Request:
        texts = [prose(draw)[:40] for _ in range(draw.randrange(4))]
        q = texts if draw.random() < 0.3 else "\n".join(texts)
        fields = {"q": q, "text": q, "target": "en", "translation": prose(draw)[:30]}
        for name, values in {
            "source": ("fr", "auto", "en"),
            "alternatives": (0, 2),
            "word": (0, 1, -1, 99, "0", None, True),
        }.items():
            fields[name] = draw.choice(values)
        body = json.dumps(fields)
        body = mutated(draw, body, [body]) if draw.random() < 0.7 else body
        content, kind = spoilt(draw, body.encode("utf-8", "surrogatepass")), draw.choice(self.KINDS)
        if kind.startswith("multipart"):
            content = b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n' + content + b"\r\n--x--\r\n"
        headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
        if draw.random() < 0.1:
            odd = mutated(draw, "http://[::1]:80/", ["http://localhost"]).encode("utf-8", "replace")
            headers.append(
                (draw.choice((b"origin", b"content-length", b"authorization", b"host")), odd[:2000])
            )
        return draw.choice(self.PATHS), headers, content

    def check(self, given: Request) -> None:
        """Check that the response is JSON without a server error, with as many texts as the request."""
        path, headers, body = given
        status, answer = self._loop.run_until_complete(self._ask(path, headers, body))
        found = json.loads(answer)
        assert status in (200, 400, 403, 404, 405, 408, 413, 415, 421), (status, found)
        if status != 200:
            raise PasserelleError(str(found))
        if path == "/translate" and headers[1][1] == b"application/json":
            q, texts = json.loads(body)["q"], found["translatedText"]
            assert type(q) is type(texts)
            assert not isinstance(q, list) or len(q) == len(texts)

    async def _ask(self, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> tuple[int, bytes]:
        sent: list[Any] = []
        received = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return received.pop() if received else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "query_string": b"",
        }
        scope |= {
            "method": "GET" if path == "/languages" else "POST",
            "path": path,
            "raw_path": path.encode(),
        }
        await self._app({**scope, "headers": headers, "client": None, "server": None}, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
