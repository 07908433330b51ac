"""A cell of an attention map, taken apart in a real Chromium."""

import math
import random
import re

import pytest
from opened import Open, click_cell, numbers, press, said_of, strips, text
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from translator.explain import Explanation, explain, to_json
from translator.explain import page as page_module
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

ROLES = ("encoder", "decoder", "cross")


@pytest.mark.parametrize(("n_cells", "most", "loss"), [(12, page_module.MAX_CHARACTERS, 0), (3, 0, 0.02)])
def test_what_is_drawn_is_what_json_has(
    show: Open, layered: Translator, n_cells: int, most: int, loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For cells drawn by lot in all roles, layers and heads: in float32 to the last digit, else nearly."""
    monkeypatch.setattr(page_module, "MAX_CHARACTERS", most)
    explanation = explain(layered, "La reine chante.")
    page, facts, lots = show(explanation), to_json(explanation), random.Random(1)
    heads = page.find_elements(By.CSS_SELECTOR, "#heads button")
    for number in range(n_cells):
        role, layer, head = number % 3, lots.randrange(3), lots.randrange(3)
        vectors, weights = facts["vectors"][ROLES[role]], facts["attention"][ROLES[role]]["heads"]
        of_role = min(layer, len(weights) - 1)  # the encoder has a layer less
        query, key = (lots.randrange(len(rows)) for rows in (weights[0][0], weights[0][0][0]))
        page.execute_script("arguments[0].click()", heads[4 * layer + head])
        click_cell(page, role, query, key)
        row = weights[of_role][head][query]
        q = vectors["queries"][of_role][head][query]
        keys, values = vectors["keys"][of_role][head], vectors["values"][of_role][head]
        products = [a * b for a, b in zip(q, keys[key], strict=True)]
        scores = [
            sum(a * b for a, b in zip(q, other, strict=True)) / math.sqrt(28)
            if weight is not None
            else -math.inf
            for other, weight in zip(keys, row, strict=True)
        ]
        given = [sum((w or 0) * v[i] for w, v in zip(row, values, strict=True)) for i in range(28)]
        share = row[key] or 0.0
        for step, expected in {
            "query": [q],
            "key": [keys[key]],
            "scores": [products],
            "value": [values[key]],
            "sum": [[share * x for x in values[key]], given],
        }.items():
            for found, exact in zip(strips(page, step), expected, strict=True):
                assert found == pytest.approx(exact, abs=0.0051 + loss), (number, step)
        found_scores, found_shares = strips(page, "softmax")
        assert found_scores == pytest.approx(scores, abs=0.00052 + loss), number
        assert found_shares == pytest.approx([100 * (w or 0) for w in row], abs=0.052 + 100 * loss), (
            "in percent"
        )
        scale = [sum(products), sum(products) / math.sqrt(28)]
        assert numbers(text(page, "step-scale")) == pytest.approx(scale, abs=0.00052 + loss)
        assert numbers(text(page, "cell-said")) == pytest.approx([*scale, share], abs=0.00052 + loss)
        marked = page.find_elements(By.CSS_SELECTOR, "#step-softmax .marked small")
        columns = ["⟨start⟩", *explanation.target_pieces] if role == 1 else explanation.source_pieces
        assert [name.get_attribute("textContent") for name in marked] == 2 * [columns[key]]


def test_another_role_changes_inputs_and_weights_alone(show: Open, layered: Translator) -> None:
    page = show(explain(layered, "La reine chante."))
    click_cell(page, 0, 2, 1)
    page.find_elements(By.CSS_SELECTOR, "#heads button")[0].click()
    seen = []
    for radio in page.find_elements(By.CSS_SELECTOR, "#cell-roles input"):
        radio.click()
        inputs = [chip.text for chip in page.find_elements(By.CSS_SELECTOR, "#cell .input")]
        matrices = page.execute_script(
            "return [...document.querySelectorAll('.matrix canvas')].map((canvas) => canvas.toDataURL())"
        )
        skeleton = page.execute_script(
            "const walk = (node) => node.matches('.named') ? 'row' : [node.tagName,"
            "  node.className.replace(/plus|minus/, ''), ...[...node.children].map(walk)].join(' ');"
            "return walk(document.getElementById('cell-steps'))"
        )
        seen.append((inputs, matrices, skeleton, text(page, "step-mask")))
    french, english, memory = "the French", "the English so far", "the encoder’s output for the French"
    assert [inputs for inputs, *_ in seen] == [
        [french, french, french],
        [english, english, english],
        [english, memory, memory],
    ]
    assert len({picture for _, matrices, *_ in seen for picture in matrices}) == 9
    assert len({skeleton for _, _, skeleton, _ in seen}) == 1, "one drawing"
    masks = [mask for *_, mask in seen]
    assert masks[0] == masks[2] != masks[1]
    marked = page.execute_script(
        "return [...document.querySelectorAll('.cells .taken')].map((mark) => mark.hidden)"
    )
    assert marked == [True, True, False]


def test_an_average_is_taken_apart_head_by_head(show: Open, layered: Translator) -> None:
    """Its share is the mean of those that are named; the chosen head is the one that is drawn."""
    explanation = explain(layered, "La reine chante.")
    page = show(explanation)
    click_cell(page, 2, 2, 1)
    shown = explanation.cross
    shares = re.findall(r"(\d+)\s%", text(page, "cell-mean"))
    exact = [100 * value for value in shown.weights[:, :, 2, 1].flatten().tolist()]
    assert [int(share) for share in shares] == pytest.approx(
        [100 * float(shown.average[2, 1]), *exact], abs=1
    )
    assert "is the mean of 9 heads: layer 1: " in text(page, "cell-mean")
    assert "; layer 3: " in text(page, "cell-mean")
    chooser = page.find_element(By.CSS_SELECTOR, "label #cell-head")
    assert len(Select(chooser).options) == 9
    for number in (0, 7):
        Select(chooser).select_by_index(number)
        option = Select(chooser).first_selected_option.text
        assert option.startswith(f"layer {number // 3 + 1}, head {number % 3 + 1}: ")
        assert numbers(text(page, "cell-said"))[-1] == pytest.approx(exact[number] / 100, abs=0.00052)
    assert "average of all heads" in said_of(page, 2)
    click_cell(page, 2, 1, 1)
    assert Select(chooser).first_selected_option.text.startswith("layer 3, head 2: "), "it stays"
    page.find_elements(By.CSS_SELECTOR, "#heads button")[1].click()
    assert Select(chooser).first_selected_option.text.startswith("layer 1, head 2: "), (
        "until another is chosen"
    )
    assert text(page, "cell-mean") == ""


def test_another_role_keeps_the_query_and_takes_the_largest_weight(show: Open, layered: Translator) -> None:
    explanation = explain(layered, "La reine chante.")
    page = show(explanation)
    click_cell(page, 2, 1, 3)
    where = """return [...document.querySelectorAll('.cells .taken')].map((mark) => mark.hidden ? null
        : ['--row', '--column'].map((name) => Number(mark.style.getPropertyValue(name))))"""
    seen = []
    for number in (1, 2, 0):
        page.find_elements(By.CSS_SELECTOR, "#cell-roles input")[number].click()
        [taken] = [place for place in page.execute_script(where) if place]
        seen.append(tuple(taken))
    maps = explanation.decoder, explanation.cross, explanation.encoder
    rows = 1, 1, int(explanation.cross.average[1].argmax())
    expected = [(row, int(shown.average[row].argmax())) for shown, row in zip(maps, rows, strict=True)]
    assert seen == expected


def test_a_cell_leaves_the_map_in_sight_and_a_term_alone_is_closed(
    show: Open, explanation: Explanation
) -> None:
    page = show(explanation)
    click_cell(page, 0, 1, 1)
    box, title = (
        page.execute_script(
            "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", name
        )
        for name in ("figure .map", "#cell-title")
    )
    assert box["top"] >= 0, "the map is in sight"
    assert title["bottom"] < page.execute_script("return innerHeight")
    # A pointer that the panel has come under would open a term of its own.
    ActionChains(page).move_to_element(page.find_element(By.ID, "cell-title")).perform()
    term = page.find_element(By.CSS_SELECTOR, "#cell .term")
    page.execute_script("arguments[0].focus()", term)
    tip = page.find_element(By.ID, str(term.get_attribute("aria-describedby")))
    assert tip.is_displayed()
    press(page, Keys.ESCAPE)
    assert not tip.is_displayed()
    assert page.find_element(By.ID, "cell").is_displayed()
    press(page, Keys.ESCAPE)
    assert not page.find_element(By.ID, "cell").is_displayed()


def test_a_cell_is_taken_apart_by_keyboard(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    canvas = page.find_elements(By.CSS_SELECTOR, "figure canvas")[1]
    page.execute_script("arguments[0].focus()", canvas)
    press(page, Keys.ARROW_DOWN, Keys.ENTER)
    assert page.find_element(By.ID, "cell").is_displayed()
    said = text(page, "cell-said")
    first, second = (piece.lstrip("␣") for piece in explanation.target_pieces[:2])
    assert said.startswith(f"Query of “{first}”, to write “{second}”; key of “⟨start⟩”: ")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert text(page, "cell-said") != said, "it follows"
    assert "is not written yet: its score becomes −∞" in text(page, "step-mask")
    assert page.switch_to.active_element == canvas
    # From inside, too, Escape closes it and returns the focus.
    page.execute_script("document.querySelector('#cell-roles input').focus()")
    press(page, Keys.ESCAPE)
    assert not page.find_element(By.ID, "cell").is_displayed()
    assert page.switch_to.active_element == canvas
    press(page, Keys.ARROW_LEFT)
    assert not page.find_element(By.ID, "cell").is_displayed()
