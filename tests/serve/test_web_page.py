"""The page in a real Chromium: typing, pointing, choosing, explaining, accessibility and appearance."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.selenium import Axe
from chromium import chromium
from phrases import Trained
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from translator.alignment.words import words as words_of
from translator.cli.serve import _explanation
from translator.serve.access import Access
from translator.serve.app import make_app
from translator.serve.limits import Limits
from translator.serve.metrics import Metrics
from translator.serve.server import address_of, open_socket, run
from translator.serve.service import Service
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

MARKUP = "<img src=x onerror=document.title='broken'><script>document.title='broken'</script>"
SIZES = {"light": (1100, 900), "dark": (1100, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def url(trained: Trained) -> Iterator[str]:
    """A service on the tiny model, in a thread of this process."""
    limits = Limits()
    service = Service(Translator.load(trained.model), limits=limits, metrics=Metrics(), explain=_explanation)
    ready, ends = threading.Event(), []

    def begun(end: Callable[[], None]) -> None:
        ends.append(end)
        ready.set()

    def serve() -> None:
        run(make_app(service, Access()), listener, limits=limits, on_ready=begun)

    with open_socket("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        assert ready.wait(60)
        yield address_of(listener)
        ends[0]()
        thread.join(60)


@pytest.fixture(scope="module")
def sentence(trained: Trained) -> str:
    """A sentence for which the half-trained model finds several words."""
    lines = trained.lines("train.fr")
    found = Translator.load(trained.model).translate(lines)
    return max(
        (len(set(words_of(one.text))), line)
        for line, one in zip(lines, found, strict=True)
        if len(words_of(one.text)) <= 9
    )[1]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path / "profile", offline=False) as driver:
        yield driver


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    """The opened page; at the end, its console must be empty."""
    browser.get(url)
    wait(browser, lambda: browser.find_element(By.ID, "text").get_attribute("lang") == "fr")
    yield browser
    assert browser.get_log("browser") == []


def wait(browser: webdriver.Chrome, condition: Any) -> Any:
    return WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())


def shown(browser: webdriver.Chrome, side: str) -> str:
    return str(browser.execute_script(f"return document.getElementById('{side}').textContent"))


def words(browser: webdriver.Chrome, side: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, f"#{side} button")


def lit(browser: webdriver.Chrome, side: str) -> list[str]:
    return [word.text for word in browser.find_elements(By.CSS_SELECTOR, f"#{side} button.lit")]


def type_and_wait(browser: webdriver.Chrome, text: str) -> str:
    browser.find_element(By.ID, "text").send_keys(text)
    wait(browser, lambda: shown(browser, "source") == text and shown(browser, "target"))
    return shown(browser, "target")


def violations(browser: webdriver.Chrome) -> list[str]:
    """Return the serious and critical violations that axe finds."""
    found = Axe().run(browser)["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")
    ]


def test_english_appears_as_french_is_typed(page: webdriver.Chrome, trained: Trained, sentence: str) -> None:
    expected = Translator.load(trained.model).translate(sentence).text
    assert type_and_wait(page, sentence) == expected
    status = page.find_element(By.ID, "spoken")
    assert status.get_attribute("role") == "status"
    wait(page, lambda: status.get_attribute("textContent") == expected)
    page.find_element(By.ID, "text").clear()
    page.find_element(By.ID, "text").send_keys(" ")
    wait(page, lambda: shown(page, "target") == "")


def test_a_late_answer_is_not_shown(page: webdriver.Chrome) -> None:
    """The first response is delayed until the second has been shown."""
    page.execute_script("""
        const ask = window.fetch; let first = true; window.late = 0;
        window.fetch = async (route, options) => {
          const mine = first; first = false;
          const answer = await ask(route, {...options, signal: undefined});
          if (mine) { await new Promise((go) => (window.release = go)); window.late = 1; }
          return answer;
        };""")
    box = page.find_element(By.ID, "text")
    box.send_keys("Le chat")
    wait(page, lambda: page.execute_script("return Boolean(window.release)"))
    box.send_keys(" dort à Lyon.")
    wait(page, lambda: shown(page, "source") == "Le chat dort à Lyon.")
    page.execute_script("window.release()")
    wait(page, lambda: page.execute_script("return window.late") == 1)
    time.sleep(0.2)
    assert shown(page, "source") == "Le chat dort à Lyon."


def test_pointing_at_a_word_lights_up_what_it_goes_with(page: webdriver.Chrome, sentence: str) -> None:
    type_and_wait(page, sentence)
    links = page.execute_script("return shown.links")
    assert links
    target, source = words(page, "target"), words(page, "source")
    for number, word in enumerate(target):
        ActionChains(page).move_to_element(word).perform()
        assert lit(page, "target") == [word.text]
        assert lit(page, "source") == [source[i].text for i, j in sorted(links) if j == number]
    ActionChains(page).move_to_element(page.find_element(By.TAG_NAME, "h1")).perform()
    assert (lit(page, "source"), lit(page, "target")) == ([], [])
    number = links[0][0]
    ActionChains(page).move_to_element(source[number]).perform()
    assert lit(page, "target") == [target[j].text for i, j in sorted(links) if i == number]


def test_the_keyboard_alone_is_enough(page: webdriver.Chrome, sentence: str) -> None:
    type_and_wait(page, sentence)
    keys = ActionChains(page)
    keys.send_keys(Keys.TAB, Keys.TAB, Keys.ARROW_RIGHT).perform()  # to the second word of the English side
    second = words(page, "target")[1]
    assert page.switch_to.active_element == second
    assert lit(page, "target") == [second.text]
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    assert second.get_attribute("aria-expanded") == "true"
    first = page.switch_to.active_element
    assert first.find_element(By.XPATH, "ancestor::div").get_attribute("id") == "choices"
    ActionChains(page).send_keys(Keys.ARROW_DOWN, Keys.ESCAPE).perform()
    assert not page.find_element(By.ID, "choices").is_displayed()
    assert page.switch_to.active_element == second


def test_choosing_another_word_keeps_what_stands_before(page: webdriver.Chrome, sentence: str) -> None:
    before = type_and_wait(page, sentence)
    word = words(page, "target")[2]
    replaced = word.text
    word.click()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    buttons = page.find_elements(By.CSS_SELECTOR, "#alternatives button")
    offered = [button.find_element(By.CLASS_NAME, "word").text for button in buttons]
    assert 1 < len(offered) == len(set(offered))
    assert replaced not in offered
    leads_to = buttons[1].find_element(By.CLASS_NAME, "whole").text
    buttons[1].click()
    wait(page, lambda: shown(page, "target") == leads_to)
    assert words(page, "target")[2].text == offered[1]
    assert leads_to.split()[:2] == before.split()[:2]
    assert leads_to != before
    assert page.execute_script("return shown.links.length") > 0


def test_the_explanation_opens(page: webdriver.Chrome, sentence: str) -> None:
    translation = type_and_wait(page, sentence)
    page.find_element(By.ID, "explain-button").click()
    wait(page, lambda: len(page.window_handles) == 2)
    page.switch_to.window(page.window_handles[1])
    body = wait(page, lambda: page.find_elements(By.TAG_NAME, "body"))[0]
    wait(page, lambda: len(body.text) > 50)
    assert " ".join(translation.split()) in body.text
    assert page.execute_script("return window.origin") == "null"  # an opaque origin
    assert page.get_log("browser") == []
    page.switch_to.window(page.window_handles[0])


def test_the_explanation_is_of_the_line_with_the_cursor_and_of_the_word_chosen(
    page: webdriver.Chrome, sentence: str
) -> None:
    type_and_wait(page, f"Oui.\n{sentence}")
    first_line, second_line = shown(page, "target").split("\n")
    number = len(words_of(first_line)) + 1
    words(page, "target")[number].click()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    button = page.find_element(By.CSS_SELECTOR, "#alternatives button")
    leads_to = words_of(button.find_element(By.CLASS_NAME, "whole").text)
    button.click()
    wait(page, lambda: shown(page, "target") != f"{first_line}\n{second_line}")
    page.find_element(By.ID, "explain-button").click()
    wait(page, lambda: len(page.window_handles) == 2)
    page.switch_to.window(page.window_handles[1])
    wait(page, lambda: len(page.find_element(By.TAG_NAME, "body").text) > 50)
    body = page.find_element(By.TAG_NAME, "body").text
    assert sentence in body
    # The text after the chosen word may differ, since everything before it is forced.
    assert " ".join(leads_to[:2]) in body
    assert "Oui." not in body
    page.switch_to.window(page.window_handles[0])


def test_markup_in_a_text_stays_text(page: webdriver.Chrome) -> None:
    title = page.title
    type_and_wait(page, MARKUP)
    words(page, "target")[0].click()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    assert page.find_elements(By.CSS_SELECTOR, "main img, main script") == []
    page.find_element(By.ID, "explain-button").click()
    wait(page, lambda: len(page.window_handles) == 2)
    page.switch_to.window(page.window_handles[1])
    wait(page, lambda: len(page.find_element(By.TAG_NAME, "body").text) > 50)
    assert "broken" not in page.title
    assert page.get_log("browser") == []
    page.switch_to.window(page.window_handles[0])
    assert page.title == title


def test_an_answer_that_is_an_error_is_said(page: webdriver.Chrome, sentence: str) -> None:
    page.execute_script("document.getElementById('text').maxLength = 9000")
    page.execute_script(
        "const box = document.getElementById('text');"
        "box.value = 'x'.repeat(6000); box.dispatchEvent(new Event('input'))"
    )
    error = page.find_element(By.ID, "error")
    wait(page, lambda: "exceeds" in error.text)
    page.get_log("browser")  # the browser logs the status 400
    page.find_element(By.ID, "text").clear()
    type_and_wait(page, sentence)
    assert error.text == ""


@pytest.mark.parametrize("look", SIZES)
def test_it_is_accessible_and_fits_in_each_look(
    page: webdriver.Chrome, look: str, tmp_path: Path, sentence: str
) -> None:
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark" if look == "dark" else "light"}]},
    )
    width, height = SIZES[look]
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": look == "phone"},
    )
    assert violations(page) == []  # empty
    type_and_wait(page, sentence)
    words(page, "target")[2].click()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    assert violations(page) == []  # with everything open
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    path = tmp_path / f"{look}.png"
    assert page.get_screenshot_as_file(str(path))
    dark = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(20, 25, 29)") == (look == "dark")


def test_the_accessibility_check_sees_what_is_wrong(page: webdriver.Chrome) -> None:
    """Control for the test above."""
    page.execute_script(
        "document.getElementById('hint').style.color = getComputedStyle(document.body).backgroundColor;"
        "document.querySelector('label[for=text]').removeAttribute('for')"
    )
    assert [one.split(":")[0] for one in violations(page)] != []


def test_nothing_is_asked_from_elsewhere(browser: webdriver.Chrome, url: str, sentence: str) -> None:
    browser.get(url)
    type_and_wait(browser, sentence)
    found = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in found if not name.startswith(url)] == []
    assert len(found) >= 4, json.dumps(found)
