"""The page in a real Chromium: typing, pointing, choosing, explaining, accessibility and appearance."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chromium import chromium, look, violations
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile"), offline=False) as driver:
        yield driver


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> Iterator[webdriver.Chrome]:
    """The page, opened anew in the only tab; at the end, the console must be empty."""
    browser.get("about:blank")
    browser.get_log("browser")
    look(browser)
    browser.get(url)
    wait(browser, lambda: browser.find_element(By.ID, "text").get_attribute("lang") == "fr")
    yield browser
    assert browser.get_log("browser") == []
    for other in browser.window_handles[1:]:
        browser.switch_to.window(other)
        browser.close()
    browser.switch_to.window(browser.window_handles[0])


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
    keys.send_keys(Keys.TAB * 3, Keys.ARROW_RIGHT).perform()  # past Clear and the French words
    second = words(page, "target")[1]
    assert page.switch_to.active_element == second
    assert lit(page, "target") == [second.text]
    ActionChains(page).send_keys(Keys.ENTER).perform()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    assert second.get_attribute("aria-expanded") == "true"
    first = page.switch_to.active_element
    assert first.find_element(By.XPATH, "ancestor::div[1]").get_attribute("id") == "choices"
    ActionChains(page).send_keys(Keys.ARROW_DOWN, Keys.ESCAPE).perform()
    assert not page.find_element(By.ID, "choices").is_displayed()
    assert page.switch_to.active_element == second


def open_choices(page: webdriver.Chrome, number: int) -> list[WebElement]:
    """Open the alternatives for a word of the translation, and return their buttons."""
    words(page, "target")[number].click()
    wait(page, lambda: page.find_element(By.ID, "choices").is_displayed())
    return page.find_elements(By.CSS_SELECTOR, "#alternatives button")


def test_choosing_another_word_keeps_what_stands_before_and_can_be_undone(
    page: webdriver.Chrome, sentence: str
) -> None:
    before = type_and_wait(page, sentence)
    word = words(page, "target")[2]
    replaced = word.text
    buttons = open_choices(page, 2)
    offered = [button.find_element(By.CLASS_NAME, "word").text for button in buttons]
    assert 1 < len(offered) == len(set(offered))
    assert replaced not in offered
    shares = [button.find_element(By.CLASS_NAME, "share").text for button in buttons]
    assert all(1 <= float(share.removesuffix(" %")) <= 100 for share in shares)
    rest = buttons[1].find_element(By.CLASS_NAME, "rest").get_attribute("textContent")
    leads_to = f"{before[: before.index(replaced, len(' '.join(words_of(before)[:2])))]}{offered[1]}{rest}"
    buttons[1].click()
    wait(page, lambda: shown(page, "target") == leads_to)
    assert words(page, "target")[2].text == offered[1]
    assert leads_to != before
    assert page.execute_script("return shown.links.length") > 0
    page.find_element(By.ID, "undo").click()
    assert shown(page, "target") == before
    assert not page.find_element(By.ID, "undo").is_displayed()


def test_each_word_is_marked_by_its_probability_and_each_unaligned_one_is_dashed(
    page: webdriver.Chrome, sentence: str
) -> None:
    type_and_wait(page, sentence)
    found = page.execute_script("return shown")
    marks = [word.get_attribute("className") for word in words(page, "target")]
    chances = found["probabilities"]
    assert marks == ["doubtful" if p < 0.5 else "likely" if p < 0.8 else "sure" for p in chances]
    assert len(set(marks)) > 1
    assert words(page, "target")[0].get_attribute("title") == f"{100 * chances[0]:.0f} %"
    page.execute_script(
        "shown.links = shown.links.filter(([source]) => source !== 1); fill('source', shown.source)"
    )
    dashed = page.find_elements(By.CSS_SELECTOR, "#source .unaligned")
    linked = {source for source, _ in page.execute_script("return shown.links")}
    expected = [word for number, word in enumerate(words_of(sentence)) if number not in linked]
    assert [word.text for word in dashed] == [word for word in expected if word.isalnum()]
    assert words_of(sentence)[1] in expected
    assert "dashed" in dashed[0].value_of_css_property("text-decoration-style")
    legend = " ".join(each.text for each in page.find_elements(By.CLASS_NAME, "legend"))
    assert all(kind in legend for kind in ("Dashed", "80 %", "50 %"))


def answer_with(page: webdriver.Chrome, change: str) -> None:
    """Put a script between the page and the service, which may change `answer` and use `route`."""
    page.execute_script(f"""
        const ask = window.fetch;
        window.fetch = async (route, options) => {{
          let answer = await ask(route, options);
          {change}
          return answer;
        }};""")


def test_the_page_says_that_the_model_is_guessing_and_that_this_is_not_french(page: webdriver.Chrome) -> None:
    confidence = (
        '{"confidence": {"probability": 0.17, "is_guess": true, "min_chrf": 60}, "is_source_language": false}'
    )
    answer_with(page, f"answer = new Response(JSON.stringify({{...await answer.json(), ...{confidence}}}));")
    type_and_wait(page, "The cat.")
    doubt = page.find_element(By.ID, "doubt")
    assert doubt.text.startswith("This does not look like French. The model is guessing: ")
    assert "chrF ≥ 60" in doubt.text
    assert "17 %" in doubt.text
    assert violations(page) == []
    wait(page, lambda: "guessing" in shown(page, "spoken"))
    page.find_element(By.CSS_SELECTOR, "[data-text='']").click()
    wait(page, lambda: not doubt.is_displayed())


def test_a_stale_translation_is_dimmed_and_waiting_is_shown(page: webdriver.Chrome, sentence: str) -> None:
    type_and_wait(page, sentence)
    dim = "return [getComputedStyle(document.querySelector('#target button')).color, document.body.className]"
    fresh, _ = page.execute_script(dim)
    answer_with(page, "await new Promise((go) => (window.release = go));")
    page.find_element(By.ID, "text").send_keys(" Oui.")
    stale, state = page.execute_script(dim)
    assert state == "stale"
    assert stale != fresh
    english = page.find_element(By.ID, "english")
    wait(page, lambda: english.get_attribute("aria-busy") == "true")
    assert page.find_element(By.ID, "busy").is_displayed()
    assert violations(page) == []
    page.execute_script("window.release()")
    wait(page, lambda: page.execute_script(dim) == [fresh, ""])
    assert english.get_attribute("aria-busy") == "false"


def test_a_lost_service_is_said_and_asked_again_until_it_answers(
    page: webdriver.Chrome, sentence: str
) -> None:
    page.execute_script("window.times = []")
    answer_with(
        page, "window.times.push(performance.now()); if (times.length < 4) throw new TypeError('lost');"
    )
    page.find_element(By.ID, "text").send_keys(sentence)
    error = page.find_element(By.ID, "error")
    wait(page, lambda: error.text == "The service does not answer. Trying again…")
    wait(page, lambda: shown(page, "target"))
    assert error.text == ""
    a, b, c, d = page.execute_script("return window.times")
    assert d - c > c - b > b - a


def test_a_text_survives_a_reload_and_comes_from_the_address(
    page: webdriver.Chrome, url: str, sentence: str
) -> None:
    text = f"{sentence}\n\nOui."
    page.find_element(By.ID, "text").send_keys(text)
    wait(page, lambda: shown(page, "target").count("\n\n") == 1)  # paragraphs are kept
    wait(page, lambda: "#text=" in page.current_url)
    translated = shown(page, "target")
    page.refresh()
    wait(page, lambda: shown(page, "source") == text and shown(page, "target"))
    assert page.find_element(By.ID, "text").get_property("value") == text
    assert shown(page, "target") == translated
    page.execute_script("location.hash = '#text=Le%20chat%20dort.'")
    wait(page, lambda: shown(page, "source") == "Le chat dort.")
    assert page.find_element(By.ID, "text").get_property("value") == "Le chat dort."
    long = sentence * 30
    page.execute_script("replaceText(arguments[0])", long)
    wait(page, lambda: shown(page, "source") == long and "#" not in page.current_url)
    page.refresh()
    wait(page, lambda: shown(page, "source") == long)
    assert "#" not in page.current_url


def test_examples_counter_clear_and_copy(page: webdriver.Chrome) -> None:
    examples = page.find_elements(By.CSS_SELECTOR, "#examples button")
    assert len(examples) == 5
    box = page.find_element(By.ID, "text")
    height = box.size["height"]
    example = examples[4].text
    examples[4].click()
    wait(page, lambda: shown(page, "source") == example and shown(page, "target"))
    assert not examples[0].is_displayed()
    assert shown(page, "count") == f"{len(example)} / 5,000 characters"
    box.send_keys("\n\n\n\nOui.")
    wait(page, lambda: shown(page, "target").count("\n") == 4)
    assert box.size["height"] > height
    copied = page.find_element(By.ID, "copy")
    read = "document.addEventListener('copy', () => (window.copied = getSelection().toString()))"
    for script in (
        "navigator.clipboard.writeText = async (words) => { window.copied = words }",
        f"navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); {read}",
    ):
        page.execute_script(f"window.copied = null; {script}")
        copied.click()
        wait(page, lambda: copied.text == "Copied")
        assert page.execute_script("return window.copied") == shown(page, "target")
        wait(page, lambda: copied.text == "Copy")
    page.find_element(By.CSS_SELECTOR, "[data-text='']").click()
    wait(page, lambda: examples[0].is_displayed())
    assert (box.get_attribute("value"), shown(page, "target")) == ("", "")


def test_the_model_is_named(page: webdriver.Chrome) -> None:
    assert shown(page, "model").startswith("Model: phrases, trained on corpus, 20")


def open_explanation(page: webdriver.Chrome) -> str:
    """Open the explanation in the page, return its text, and come back to the page."""
    wait(
        page, lambda: "#text=" in page.current_url
    )  # as long as the text may change, the frame may be replaced
    if not page.find_elements(By.CSS_SELECTOR, "#watch[open]"):
        page.find_element(By.CSS_SELECTOR, "#watch summary").click()
    frame = wait(page, lambda: page.find_elements(By.TAG_NAME, "iframe"))[0]
    page.switch_to.frame(frame)
    wait(page, lambda: len(page.find_element(By.TAG_NAME, "body").text) > 50)
    assert page.execute_script("return window.origin") == "null"  # an opaque origin
    found = page.find_element(By.TAG_NAME, "body").text
    page.switch_to.default_content()
    return str(found)


def test_the_explanation_is_in_the_page_while_its_section_is_open(
    page: webdriver.Chrome, sentence: str
) -> None:
    translation = type_and_wait(page, sentence)
    assert page.find_elements(By.TAG_NAME, "iframe") == []
    assert " ".join(translation.split()) in open_explanation(page)
    first = page.find_element(By.TAG_NAME, "iframe")
    page.find_element(By.ID, "text").clear()
    type_and_wait(page, "Le chat dort.")
    wait(page, lambda: page.find_element(By.TAG_NAME, "iframe") != first)
    assert "Le chat dort." in open_explanation(page)
    page.find_element(By.CSS_SELECTOR, "#watch summary").click()
    wait(page, lambda: page.find_elements(By.TAG_NAME, "iframe") == [])
    page.find_element(By.CSS_SELECTOR, "#watch summary").click()
    page.find_element(By.ID, "explain-button").click()
    wait(page, lambda: len(page.window_handles) == 2)
    page.switch_to.window(page.window_handles[1])
    wait(page, lambda: "Le chat dort." in page.find_element(By.TAG_NAME, "body").text)
    assert page.execute_script("return [window.origin, window.opener]") == ["null", None]
    page.switch_to.window(page.window_handles[0])


def test_the_explanation_is_of_the_line_with_the_cursor_and_of_the_word_chosen(
    page: webdriver.Chrome, sentence: str
) -> None:
    type_and_wait(page, f"Oui.\n{sentence}")
    first_line, second_line = shown(page, "target").split("\n")
    n_first = len(words_of(first_line))
    chances = page.execute_script("return shown.probabilities")[n_first + 1 : -1]
    button = open_choices(page, n_first + 1 + chances.index(min(chances)))[0]
    leads_to = [
        *words_of(second_line)[: 1 + chances.index(min(chances))],
        button.find_element(By.CLASS_NAME, "word").text,
    ]
    button.click()
    wait(page, lambda: shown(page, "target") != f"{first_line}\n{second_line}")
    body = open_explanation(page)
    assert sentence in body
    # The text after the chosen word may differ, since everything before it is forced.
    assert " ".join(leads_to) in body
    assert "Oui." not in body


def test_markup_in_a_text_stays_text(page: webdriver.Chrome) -> None:
    title = page.title
    type_and_wait(page, MARKUP)
    open_choices(page, 0)
    assert "<img src=x" in open_explanation(page)
    assert page.find_elements(By.CSS_SELECTOR, "main img, main script") == []
    assert page.title == title


def test_an_answer_that_is_an_error_is_said(page: webdriver.Chrome, sentence: str) -> None:
    page.execute_script("replaceText('x'.repeat(6000))")
    assert shown(page, "count") == "6,000 / 5,000 characters"
    error = page.find_element(By.ID, "error")
    wait(page, lambda: "exceeds" in error.text)
    page.get_log("browser")  # the browser logs the status 400
    page.find_element(By.ID, "text").clear()
    type_and_wait(page, sentence)
    assert error.text == ""


@pytest.mark.parametrize("kind", SIZES)
def test_it_is_accessible_and_fits_in_each_look(page: webdriver.Chrome, kind: str, sentence: str) -> None:
    width, height = SIZES[kind]
    look(page, scheme="dark" if kind == "dark" else "light", width=width, height=height)
    assert violations(page) == []  # empty
    type_and_wait(page, sentence)
    open_explanation(page)
    open_choices(page, 2)
    assert violations(page) == []  # with everything open
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    dark = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(20, 25, 29)") == (kind == "dark")


def test_the_accessibility_check_sees_what_is_wrong(page: webdriver.Chrome) -> None:
    """Control for the test above."""
    page.execute_script(
        "document.getElementById('model').style.color = getComputedStyle(document.body).backgroundColor;"
        "document.querySelector('label[for=text]').removeAttribute('for')"
    )
    assert [one.split(":")[0] for one in violations(page)] != []


def test_nothing_is_asked_from_elsewhere(page: webdriver.Chrome, url: str, sentence: str) -> None:
    type_and_wait(page, sentence)
    found = page.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in found if not name.startswith(url)] == []
    assert len(found) >= 4, json.dumps(found)
