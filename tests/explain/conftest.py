"""Fixtures for the tests of explanations: a tiny trained model, and an explanation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from chromium import chromium, look
from opened import Open, with_facts
from phrases import Trained
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from translator.building import build_model
from translator.explain import Explanation, explain, to_html
from translator.translation.inference import Translator

SENTENCE = "Ma sœur ne mange pas dans la maison."


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def translator(trained: Trained) -> Translator:
    return Translator.load(trained.model)


@pytest.fixture(scope="session")
def explanation(translator: Translator) -> Explanation:
    return explain(translator, SENTENCE)


@pytest.fixture(scope="session")
def layered(translator: Translator) -> Translator:
    """An untrained model with several layers, whose heads attend to few pieces each."""
    torch.manual_seed(1)
    update = {"width": 84, "n_heads": 3, "feed_forward": 64, "max_length": 256}
    shape = translator.config.model.model_copy(update=update | {"n_encoder_layers": 2, "n_decoder_layers": 3})
    model = build_model(shape, len(translator.tokenizer)).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith("attention.query.weight"):
                weights *= 4
    config = translator.config.model_copy(update={"model": shape})
    return Translator(model, translator.tokenizer, config)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as driver:
        yield driver


@pytest.fixture
def show(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Open]:
    """A function that opens an explanation from a file; at the end, the console must be empty."""

    def call(explanation: Explanation, **facts: Any) -> webdriver.Chrome:
        path = tmp_path / "page.html"
        page = to_html(explanation)
        path.write_text(with_facts(page, facts) if facts else page, encoding="utf-8")
        browser.get(path.as_uri())
        ready = "return document.documentElement.dataset.ready === 'yes'"
        WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda driver: driver.execute_script(ready))
        return browser

    look(browser)
    yield call
    assert browser.get_log("browser") == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((r) => r.name)")
    assert loaded == [], "it fetches nothing"
