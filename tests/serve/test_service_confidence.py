"""The confidence in a translation, as the service returns it."""

import dataclasses
from collections.abc import Callable

import pytest
from phrases import Trained
from serve_case import SENTENCE
from starlette.testclient import TestClient

from translator.model_folder import load_model_folder
from translator.translation.confidence import Calibration
from translator.translation.inference import Translator

pytest_plugins = ("trained",)


def test_translations_have_the_confidence_of_the_model(
    trained: Trained, serve: Callable[..., TestClient]
) -> None:
    loaded = load_model_folder(trained.model)
    calibration = Calibration(3.0, -6.0, 0.5, 0.6, 60.0, 100, 0.02)
    manifest = loaded.manifest | {"confidence": dataclasses.asdict(calibration)}
    translator = Translator(loaded, loaded.tokenizer, loaded.config, manifest=manifest)
    client, fields = serve(translator=translator), {"q": SENTENCE, "source": "fr", "target": "en"}
    found = translator.translate(SENTENCE).confidence
    assert found is not None
    expected = pytest.approx(dataclasses.asdict(found))
    assert client.post("/translate", json=fields).json()["confidence"] == expected
    several = client.post("/translate", json=fields | {"q": [SENTENCE, ""]}).json()["confidence"]
    assert several == [expected, None]
    linked = client.post("/api/translate", json={"text": SENTENCE}).json()
    assert linked["confidence"] == expected


def test_without_a_calibration_there_is_none(client: TestClient) -> None:
    fields = {"q": SENTENCE, "source": "fr", "target": "en"}
    assert "confidence" not in client.post("/translate", json=fields).json()
    linked = client.post("/api/translate", json={"text": SENTENCE}).json()
    assert linked["confidence"] is None


def test_the_page_hears_whether_the_text_looks_french(client: TestClient) -> None:
    for text, expected in ((SENTENCE, True), ("How are you?", False)):
        found = client.post("/api/translate", json={"text": text}).json()
        assert found["is_source_language"] is expected
