"""The page in a real Chromium: offline, by mouse and by keyboard, light, dark and on a phone."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import chromium, look, screenshot, violations
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from translator.explain import Explanation, explain, to_html
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

HOSTILE = "</script><img src=x onerror=document.title='broken'> <b>La reine</b> {{data}}"
Open = Callable[[Explanation], webdriver.Chrome]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as driver:
        yield driver


@pytest.fixture
def show(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Open]:
    """A function that opens an explanation from a file; at the end, the console must be empty."""

    def call(explanation: Explanation) -> webdriver.Chrome:
        path = tmp_path / "page.html"
        path.write_text(to_html(explanation), encoding="utf-8")
        browser.get(path.as_uri())
        ready = "return document.documentElement.dataset.ready === 'yes'"
        WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda driver: driver.execute_script(ready))
        return browser

    look(browser)
    yield call
    assert browser.get_log("browser") == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((r) => r.name)")
    assert loaded == [], "it fetches nothing"


@pytest.fixture(scope="module")
def brief(translator: Translator) -> Explanation:
    """An explanation with few pieces, since axe checks every cell of every table."""
    config = translator.config
    search = config.search.model_copy(update={"max_length_ratio": 1.0, "max_length_offset": 1})
    config = config.model_copy(update={"search": search})
    return explain(Translator(translator.model, translator.tokenizer, config), "La reine chante.")


def text(driver: webdriver.Chrome, name: str) -> str:
    return str(driver.execute_script("return document.getElementById(arguments[0]).textContent", name))


def press(driver: webdriver.Chrome, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def said_of(driver: webdriver.Chrome, role: int) -> str:
    return driver.find_elements(By.CSS_SELECTOR, "figure .said")[role].text


def n_colours(driver: webdriver.Chrome, role: int, query: int, key: int) -> int:
    """Count the colours inside a cell of a large map; 1 is the last row or column."""
    return driver.execute_script(
        """
        const [role, query, key] = arguments, canvas = document.querySelectorAll('figure canvas')[role];
        const [cell, context] = [Number(canvas.dataset.cell), new OffscreenCanvas(canvas.width, canvas.height)
          .getContext('2d', {willReadFrequently: true})];
        context.drawImage(canvas, 0, 0);
        const size = Math.floor(cell) - 4, first = (edge, n) => Math.ceil(edge - 1 - n * cell) + 2;
        const { data } = context.getImageData(
          first(canvas.width, key), first(canvas.height, query), size, size);
        return new Set([...Array(size * size).keys()].map((i) => data.slice(4 * i, 4 * i + 4).join())).size;
        """,
        role,
        query,
        key,
    )


def test_it_shows_the_translation_and_a_word_lights_up_what_it_looks_at(
    show: Open, explanation: Explanation
) -> None:
    page = show(explanation)
    assert text(page, "source") == explanation.source
    assert text(page, "translation") == explanation.translation
    for side, expected in (("source", explanation.source_words), ("target", explanation.target_words)):
        shown = [word.text for word in page.find_elements(By.CSS_SELECTOR, f"#{side}-words button")]
        assert shown == expected
    word = page.find_elements(By.CSS_SELECTOR, "#target-words button")[1]
    ActionChains(page).move_to_element(word).perform()
    # Compare with the attention of the word, computed from the weights.
    rows = [row for row, owner in enumerate(explanation.target_owners) if owner == 1]
    weights = explanation.cross.average[rows].mean(0)
    sums = [0.0] * len(explanation.source_words)
    for column, owner in enumerate(explanation.source_owners[:-1]):
        sums[owner] += float(weights[column])
    best = max(range(len(sums)), key=lambda number: sums[number])
    said = text(page, "words-said")
    first = re.search(r"attends across to: (\S+) (\d+)\s%", said)
    assert first is not None, said
    assert first[1] == explanation.source_words[best]
    assert int(first[2]) == pytest.approx(100 * sums[best], abs=1.5)
    glow = page.execute_script(
        "return [...document.querySelectorAll('#source-words button')]"
        ".map((word) => Number(word.style.getPropertyValue('--glow')))"
    )
    assert [value**2 for value in glow] == pytest.approx(sums, abs=0.02)
    assert max(range(len(sums)), key=lambda number: glow[number]) == best
    ActionChains(page).move_to_element(page.find_element(By.TAG_NAME, "h2")).perform()
    assert "attends across" not in text(page, "words-said")


def test_lines_join_the_aligned_words(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    ends = page.execute_script("return [...document.querySelectorAll('#links path')].map((p) => p.ends)")
    assert [tuple(end) for end in ends] == explanation.links != []
    i, j = explanation.links[0]
    word = page.find_elements(By.CSS_SELECTOR, "#target-words button")[j]
    ActionChains(page).move_to_element(word).perform()
    lit = page.execute_script("return [...document.querySelectorAll('#links path.lit')].map((p) => p.ends)")
    assert [i, j] in lit
    assert all(end[1] == j for end in lit)


def test_layer_and_head_are_chosen_by_mouse_and_by_keyboard(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    heads = page.find_elements(By.CSS_SELECTOR, "#heads button")
    assert len(heads) == 5, "four heads and their average"
    canvas = page.find_elements(By.CSS_SELECTOR, "figure canvas")[2]
    seen = [page.execute_script("return arguments[0].toDataURL()", canvas)]
    heads[1].click()
    assert "layer 1, head 2" in said_of(page, 2)
    seen.append(page.execute_script("return arguments[0].toDataURL()", canvas))
    press(page, Keys.ARROW_RIGHT)
    assert "layer 1, head 3" in said_of(page, 2)
    assert page.switch_to.active_element == heads[2]
    assert heads[2].get_attribute("aria-checked") == "true"
    seen.append(page.execute_script("return arguments[0].toDataURL()", canvas))
    assert len(set(seen)) == 3, "each is another map"
    page.find_element(By.ID, "all-heads").click()
    assert page.execute_script("return arguments[0].toDataURL()", canvas) == seen[0]


def test_maps_are_read_by_keyboard_and_what_is_shut_is_said(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    canvases = page.find_elements(By.CSS_SELECTOR, "figure canvas")
    for role, shown in enumerate((explanation.encoder, explanation.decoder, explanation.cross)):
        page.execute_script("arguments[0].focus()", canvases[role])
        press(page, Keys.ARROW_RIGHT)
        if role == 1:
            assert "may not attend to" in said_of(page, role)
            press(page, Keys.ARROW_DOWN)
        else:
            press(page, Keys.ARROW_DOWN)
        percent = re.search(r"(\d+)\s% \(average of all heads\)", said_of(page, role))
        assert percent is not None, said_of(page, role)
        assert int(percent[1]) == pytest.approx(100 * float(shown.average[1, 1]), abs=1.0)


def test_the_masks_are_seen(show: Open, explanation: Explanation) -> None:
    """Masked cells are hatched; all others have one colour, however small their weight."""
    page = show(explanation)
    for role, shown in enumerate((explanation.encoder, explanation.decoder, explanation.cross)):
        n_queries, n_keys = shown.mask.shape
        for query, key in ((0, 0), (0, n_keys - 1), (n_queries - 2, n_keys - 1), (n_queries - 1, n_keys - 1)):
            hatched = n_colours(page, role, n_queries - query, n_keys - key) > 1
            assert hatched != bool(shown.mask[query, key]), (role, query, key)


def test_a_table_says_what_a_map_shows(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    summary = page.find_elements(By.CSS_SELECTOR, "figure summary")[1]
    assert page.find_elements(By.CSS_SELECTOR, "figure table") == [], "filled when opened"
    summary.click()
    WebDriverWait(page, 10).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "figure table"))
    rows = page.execute_script(
        "return [...document.querySelectorAll('figure table tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert [row[0] for row in rows] == explanation.target_pieces
    for query, row in enumerate(rows):
        assert [cell == "masked" for cell in row[1:]] == [key > query for key in range(len(rows))]
    assert rows[0][1] == "100\u00a0%"


def test_alternatives_of_a_piece(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    pieces = page.find_elements(By.CSS_SELECTOR, "#choices button")
    assert [piece.text for piece in pieces] == explanation.target_pieces
    pieces[0].click()
    names = [bar.text for bar in page.find_elements(By.CSS_SELECTOR, ".bar > span:first-child")]
    assert names == [explanation.target_pieces[0], *(name for name, _ in explanation.choices[0].alternatives)]
    press(page, Keys.ARROW_RIGHT)
    assert page.switch_to.active_element == pieces[1]
    assert f"After “{explanation.target_pieces[0]}”" in text(page, "alternatives")


def test_the_tree_is_walked_and_pruned_branches_go(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    tree = page.find_element(By.CSS_SELECTOR, "#beam-scroll svg")
    assert len(tree.find_elements(By.CSS_SELECTOR, "text:not(.step)")) == len(explanation.nodes)
    page.execute_script("arguments[0].focus()", tree)
    way = [
        piece for piece, node in zip(explanation.node_pieces, explanation.nodes, strict=True) if node.chosen
    ]
    for number, piece in enumerate(way[1:4], start=1):
        press(page, Keys.ARROW_RIGHT)
        assert f"Step {number}: “{piece}”" in text(page, "beam-said")
        assert "on the path to the translation" in text(page, "beam-said")
    pruned = tree.find_elements(By.CSS_SELECTOR, "text.pruned")
    assert len(pruned) == sum(node.fate == "pruned" for node in explanation.nodes) > 0
    assert pruned[0].is_displayed()
    page.find_element(By.ID, "pruned").click()
    assert not pruned[0].is_displayed()
    finished = page.find_elements(By.CSS_SELECTOR, "#hypotheses tbody tr")
    assert [row.find_elements(By.TAG_NAME, "td")[3].text for row in finished] == [
        found for _, found in explanation.hypotheses
    ]


def test_everything_is_reached_with_the_tab_key(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    reached = set()
    for _ in range(40):
        press(page, Keys.TAB)
        reached.add(
            page.execute_script(
                "const here = document.activeElement;"
                "return here.closest('[id]')?.id + ' ' + here.tagName.toLowerCase()"
            )
        )
    wanted = {"source-words button", "target-words button", "all-heads button", "heads button", "maps canvas"}
    wanted |= {"choices button", "pruned input", "beam-scroll svg", "beam-table summary", "maps summary"}
    assert wanted <= reached


def test_hostile_text_stays_text(show: Open, translator: Translator) -> None:
    shape = translator.config.model.model_copy(update={"max_length": 128})  # room for the prefix
    config = translator.config.model_copy(update={"model": shape})
    roomy = Translator(translator.model, translator.tokenizer, config)
    page = show(explain(roomy, HOSTILE, prefix=HOSTILE))
    assert page.find_elements(By.CSS_SELECTOR, "img, b") == []
    assert page.title.endswith("– explained")
    assert text(page, "source") in HOSTILE
    assert "<img" in text(page, "source")
    # Control: the policy blocks a script that is inserted into the page.
    page.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<p onclick=\"document.title=1\">x</p>')"
    )
    page.find_elements(By.CSS_SELECTOR, "body > p")[-1].click()
    assert page.title.endswith("– explained")
    [refused] = page.get_log("browser")
    assert "Content Security Policy" in refused["message"]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 375)])
def test_it_fits_the_screen_and_axe_finds_nothing(
    show: Open, brief: Explanation, tmp_path: Path, browser: webdriver.Chrome, scheme: str, width: int
) -> None:
    look(browser, scheme=scheme, width=width)
    page = show(brief)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    for summary in page.find_elements(By.TAG_NAME, "summary"):
        summary.click()
    assert violations(page) == []
    ground = page.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == (scheme == "dark")
    screenshot(page, tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_axe_sees_what_is_wrong(show: Open, brief: Explanation) -> None:
    """Control for the test above."""
    page = show(brief)
    page.execute_script(
        "const box = document.getElementById('pruned'); box.closest('label').replaceWith(box)"
    )
    assert [found.split(":")[0] for found in violations(page)] == ["label"]
