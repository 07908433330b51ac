"""The attention maps of the page in a real Chromium."""

import itertools
import math
import re

import pytest
from opened import Open, go_to, pixels, press, pressed, said_of
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from translator.explain import Explanation, explain
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def test_layer_and_head_are_chosen_by_mouse_and_by_keyboard(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    heads = page.find_elements(By.CSS_SELECTOR, "#heads button")
    assert len(heads) == 5, "four heads and their average"
    seen = [pixels(page, 2)]
    heads[1].click()
    assert "layer 1, head 2" in said_of(page, 2)
    seen.append(pixels(page, 2))
    press(page, Keys.ARROW_RIGHT)
    assert page.switch_to.active_element == heads[2]
    assert "layer 1, head 2" in said_of(page, 2), "arrow keys choose nothing"
    press(page, Keys.ENTER)
    assert pressed(heads) == [2]
    seen.append(pixels(page, 2))
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i]), "each is another map"
    page.find_element(By.ID, "all-heads").click()
    assert pixels(page, 2) == seen[0]


def test_heads_are_overlaid_by_keyboard(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    heads = page.find_elements(By.CSS_SELECTOR, "#heads button")
    page.execute_script("arguments[0].focus()", heads[1])
    press(page, Keys.SPACE, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.SPACE)
    chosen = page.find_elements(By.CSS_SELECTOR, "#chosen li")
    assert [item.text for item in chosen] == ["layer 1, head 2", "layer 1, head 4"]
    assert pressed(heads) == [1, 3]
    assert [head.text for head in heads] == ["", "1", "", "2", ""], "colours are numbered"
    page.execute_script("arguments[0].focus()", page.find_elements(By.CSS_SELECTOR, "figure canvas")[2])
    _, first, _, second = explanation.cross.weights[0, :, 0, 0].tolist()
    shares = re.findall(r"(\d+)\s%, layer 1, head (\d)", said_of(page, 2))
    assert [int(head) for _, head in shares] == [2, 4]
    assert [int(share) for share, _ in shares] == pytest.approx([100 * first, 100 * second], abs=1)
    # The stripes of a cell are in proportion to the weights: here, those of the first row.
    stripes = page.execute_script(
        "const canvas = document.querySelectorAll('figure canvas')[2];"
        "const copy = new OffscreenCanvas(canvas.width, 1).getContext('2d', { willReadFrequently: true });"
        "copy.drawImage(canvas, 0, 0);"
        "const { data } = copy.getImageData(0, 0, canvas.width, 1);"
        "return [...Array(canvas.width).keys()].map((i) => data.slice(4 * i, 4 * i + 3).join())"
    )
    _, first_row, _, second_row = explanation.cross.weights[0, :, 0].tolist()
    compared = 0
    for key, (a, b) in enumerate(zip(first_row, second_row, strict=True)):
        of_cell = stripes[12 * key : 12 * key + 12]
        if 0.1 < a / (a + b) < 0.9:
            assert of_cell.count(of_cell[0]) == pytest.approx(12 * a / (a + b), abs=0.51)
            compared += 1
    assert compared >= 2
    page.execute_script("arguments[0].focus()", heads[1])
    press(page, Keys.SPACE)
    assert [item.text for item in page.find_elements(By.CSS_SELECTOR, "#chosen li")] == ["layer 1, head 4"]
    press(page, Keys.ENTER)
    assert [item.text for item in page.find_elements(By.CSS_SELECTOR, "#chosen li")] == ["layer 1, head 2"]


def test_what_heads_do_is_named(show: Open, explanation: Explanation) -> None:
    habit = {"name": "previous token", "share": 0.71}
    nothing = [[None] * 4]
    named = {"encoder": nothing, "decoder": [[None, habit, None, None]], "cross": nothing}
    page = show(explanation, heads=named)
    heads = page.find_elements(By.CSS_SELECTOR, "#heads button")
    assert page.find_element(By.ID, "dot").is_displayed()
    assert heads[1].get_attribute("aria-label") == "layer 1, head 2; decoder: previous token, 71\u00a0%"
    assert [head.text for head in heads] == ["", "•", "", "", ""]
    heads[1].click()
    assert said_of(page, 1) == "layer 1, head 2 (previous token, 71 %)."
    assert said_of(page, 0) == said_of(page, 2) == "layer 1, head 2."
    page = show(explanation, heads={**named, "decoder": nothing})
    assert not page.find_element(By.ID, "dot").is_displayed(), "no dot, no explanation of dots"


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
        percent = re.search(r"(\d+)\s%, average of all heads", said_of(page, role))
        assert percent is not None, said_of(page, role)
        assert int(percent[1]) == pytest.approx(100 * float(shown.average[1, 1]), abs=0.51)


@pytest.mark.parametrize("own_scale", [False, True])
def test_colours_are_the_weights_and_masks_are_seen(
    show: Open, explanation: Explanation, own_scale: bool
) -> None:
    """Masked cells are transparent, before a hatched ground; of the others, the colour is that of √weight."""
    page = show(explanation)
    if own_scale:
        page.find_element(By.ID, "own-scale").click()
    style = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()"
    panel, accent = (bytes.fromhex(page.execute_script(style, name)[1:]) for name in ("--panel", "--accent"))
    for role, shown in enumerate((explanation.encoder, explanation.decoder, explanation.cross)):
        full = float(shown.average.max()) if own_scale else 1
        for row, weights, masks in zip(pixels(page, role), shown.average, shown.mask, strict=True):
            for pixel, weight, visible in zip(row, weights.tolist(), masks.tolist(), strict=True):
                assert (pixel[3] > 0) == visible
                depth = math.sqrt(weight / full)
                expected = [a + (b - a) * depth for a, b in zip(panel, accent, strict=True)]
                assert not visible or pixel[:3] == pytest.approx(expected, abs=2)
    ground = "return getComputedStyle(document.querySelectorAll('.cells')[1]).backgroundImage"
    assert "repeating-linear-gradient" in page.execute_script(ground)


def test_rows_that_are_not_written_yet_are_hatched(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    go_to(page, 3)
    marks = page.execute_script(
        "const at = (mark) => (mark.hidden ? null : Number(mark.style.getPropertyValue('--row')));"
        "return ['.now', '.later'].map((name) => [...document.querySelectorAll('figure ' + name)].map(at))"
    )
    assert marks == [[None, 3, 3], [None, 4, 4]]
    ahead = [label.text for label in page.find_elements(By.CSS_SELECTOR, ".ahead")]
    assert ahead == 2 * explanation.target_pieces[4:]


def test_labels_of_long_sentences_are_readable(show: Open, layered: Translator) -> None:
    words = "le chat dort dans la maison un vieux chien chante devant la gare".split()
    shown = explain(layered, " ".join((words * 5)[:62]))
    page = show(shown)
    labels = page.execute_script(
        "const measure = (label) => {"
        "  const { top, left, width, height } = label.getBoundingClientRect();"
        "  const size = parseFloat(getComputedStyle(label).fontSize);"
        "  return [label.textContent, size, top, left, width, height];"
        "};"
        "return ['rows', 'columns'].map((name) =>"
        "  [...document.querySelectorAll(`figure .${name} span`)].map(measure))"
    )
    n_source = len(shown.source_pieces)
    for place, size, edge in ((0, 5, 2), (1, 4, 3)):
        of_encoder = labels[place][:n_source]
        assert [label[0] for label in of_encoder] == shown.source_pieces
        assert all(label[1] >= 11 for label in of_encoder)
        for label, following in itertools.pairwise(of_encoder):
            assert label[edge] + label[size] <= following[edge] + 0.5, "they do not overlap"
    # The box scrolls, and the labels stay in sight.
    box = page.find_element(By.CSS_SELECTOR, "figure .map")
    assert "which scrolls" in page.find_element(By.CSS_SELECTOR, "figure .hint").text
    page.execute_script("arguments[0].scrollTo(1e6, 1e6)", box)
    corner, rows, columns = page.execute_script(
        "return [arguments[0], ...['.rows', '.columns'].map((name) => arguments[0].querySelector(name))]"
        ".map((element) => element.getBoundingClientRect().toJSON())",
        box,
    )
    assert page.execute_script("return arguments[0].scrollTop", box) > 100
    assert rows["left"] == pytest.approx(corner["left"], abs=2)
    assert columns["top"] == pytest.approx(corner["top"], abs=2)


def test_a_table_says_what_a_map_shows(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    summary = page.find_elements(By.CSS_SELECTOR, "#map-tables summary")[1]
    assert page.find_elements(By.CSS_SELECTOR, "#map-tables table") == [], "filled when opened"
    summary.click()
    WebDriverWait(page, 10).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#map-tables table"))
    rows = page.execute_script(
        "return [...document.querySelectorAll('#map-tables table tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert [row[0] for row in rows] == explanation.target_pieces
    for query, row in enumerate(rows):
        assert [cell == "masked" for cell in row[1:]] == [key > query for key in range(len(rows))]
    assert rows[0][1] == "100\u00a0%"
