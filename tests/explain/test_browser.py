"""The page in a real Chromium: offline, by mouse and by keyboard, light, dark and on a phone."""

import itertools
import random
import re
from pathlib import Path
from typing import Any

import pytest
from chromium import look, screenshot, violations
from opened import Open, click_cell, go_to, press, text, texts
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from translator.explain import Explanation, explain
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

HOSTILE = "</script><img src=x onerror=document.title='broken'> <b>La reine</b> {{data}}"
#: Facts that only some models have, made up.
FACTS: dict[str, Any] = {
    "confidence": {"probability": 0.34, "is_guess": True, "min_chrf": 60},
    "is_source_language": False,
    "model": {"name": "tiny", "corpus": "phrases", "created": "2026-11-30T23:30:00+00:00", "bleu": 58.0},
}


def film() -> dict[str, Any]:
    """A film of three sentences at two moments: first "the the", then two words in order."""

    def moment(step: int, pieces: list[str], cross: list[list[float]]) -> dict[str, Any]:
        text = "".join(pieces[:-1]).replace("␣", " ").strip()
        translations = [{"text": f"{text}{end}", "pieces": pieces, "cross": cross} for end in ("", "!", "?")]
        return {"step": step, "translations": translations}

    even = [[0.333, 0.333, 0.334]] * 3
    sharp = [[0.9, 0.06, 0.04], [0.08, 0.91, 0.01], [0.0, 0.02, 0.98]]
    sources = [f"{word} reine" for word in ("La", "Une", "Ma")]
    return {
        "sentences": [
            {"source": source, "pieces": [f"␣{word}" for word in source.split()] + ["⟨end⟩"]}
            for source in sources
        ],
        "moments": [
            moment(10, ["␣the", "␣the", "⟨end⟩"], even),
            moment(1280, ["␣The", "␣queen", "⟨end⟩"], sharp),
        ],
    }


@pytest.fixture(scope="module")
def brief(translator: Translator) -> Explanation:
    """An explanation with few pieces, since axe checks every cell of every table."""
    config = translator.config
    search = config.search.model_copy(update={"max_length_ratio": 1.0, "max_length_offset": 1})
    config = config.model_copy(update={"search": search})
    return explain(Translator(translator.model, translator.tokenizer, config), "La reine chante.")


def weights_of(driver: webdriver.Chrome, side: str) -> list[float]:
    script = """return [...document.querySelectorAll(`#${arguments[0]}-pieces button`)]
        .map((piece) => Number(piece.style.getPropertyValue('--weight')))"""
    return driver.execute_script(script, side)


def ribbons(driver: webdriver.Chrome) -> list[float]:
    """The widths of the ribbons, as parts of the widest one possible."""
    script = """const style = getComputedStyle(document.getElementById('stage'));
        return [...document.querySelectorAll('.ribbon')]
          .map((path) => path.getAttribute('stroke-width') / style.getPropertyValue('--widest'))"""
    return driver.execute_script(script)


def test_what_is_drawn_are_the_numbers_of_the_explanation(show: Open, explanation: Explanation) -> None:
    """Of random pieces: at their step, pointed at when all is written, and read from the source side."""
    page = show(explanation)
    target = page.find_elements(By.CSS_SELECTOR, "#target-pieces button")
    source = page.find_elements(By.CSS_SELECTOR, "#source-pieces button")
    assert texts(page, "#source-pieces button") == explanation.source_pieces
    assert texts(page, "#target-pieces button") == ["⟨start⟩", *explanation.target_pieces]
    heads = page.find_elements(By.CSS_SELECTOR, "#heads button")
    n_target, n_source = explanation.cross.mask.shape
    chance = random.Random(4)
    for head in (None, 1):
        if head is not None:
            heads[head].click()
        encoder, decoder, cross = (
            shown.average if head is None else shown.weights[0, head]
            for shown in (explanation.encoder, explanation.decoder, explanation.cross)
        )
        for query in chance.sample(range(n_target), 3):
            seen = []
            for way in ("step", "point"):
                go_to(page, query if way == "step" else n_target)
                if way == "point":
                    ActionChains(page).move_to_element(target[query + 1]).perform()
                drawn, looked_back = weights_of(page, "source"), weights_of(page, "target")
                assert drawn == pytest.approx(cross[query].tolist(), abs=0.005)
                assert looked_back == pytest.approx([*decoder[query].tolist(), 0], abs=0.005)
                assert ribbons(page) == pytest.approx([weight for weight in drawn if weight >= 0.03])
                seen.append(text(page, "stage-said"))
                probability = explanation.choices[query].probability
                said = re.search(r"”, (?:> )?(\d+)", seen[-1].replace("\u00a0", " "))
                assert said is not None, seen
                assert int(said[1]) == pytest.approx(100 * probability, abs=1)
                strongest = explanation.source_pieces[int(cross[query].argmax())].lstrip("␣")
                assert f"it reads “{strongest}” " in seen[-1]
            assert seen[0] == seen[1]
        key = chance.randrange(n_source)
        ActionChains(page).move_to_element(source[key]).perform()
        drawn, looked_back = weights_of(page, "target"), weights_of(page, "source")
        assert drawn == pytest.approx([0, *cross[:, key].tolist()], abs=0.005)
        assert looked_back == pytest.approx(encoder[key].tolist(), abs=0.005)
        assert ribbons(page) == pytest.approx([weight for weight in drawn if weight >= 0.03])
    # Control: another piece has other weights.
    assert (cross[query] - cross[query - 1]).abs().max() > 0.01


def test_lines_join_the_aligned_words_when_all_is_written(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    ends = page.execute_script("return [...document.querySelectorAll('.link')].map((p) => p.dataset.ends)")
    assert [tuple(map(int, end.split(","))) for end in ends] == explanation.links != []
    page.find_element(By.CSS_SELECTOR, "#words-table summary").click()
    WebDriverWait(page, 10).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#words-table table"))
    rows = texts(page, "#words-table tbody tr td:last-child")
    for j in range(len(explanation.target_words)):
        aligned = [explanation.source_words[i] for i, to in explanation.links if to == j]
        assert rows[j] == (" ".join(aligned) or "–")
    go_to(page, 2)
    assert page.find_elements(By.CSS_SELECTOR, ".link") == []


def test_the_keyboard_alone_drives_the_player(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    end = len(explanation.target_pieces)
    page.execute_script("document.getElementById('back').focus()")
    press(page, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert f"piece {end - 1} of {end}" in text(page, "step-said")
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    press(page, Keys.SPACE)  # to the start
    first = explanation.target_pieces[0]
    scrubber = page.find_element(By.ID, "scrubber")
    assert scrubber.get_attribute("aria-valuetext") == f"piece 1 of {end}: {first}"
    assert f"Writing “{first.lstrip('␣')}”" in text(page, "stage-said")
    unseen = texts(page, ".piece.unseen")
    assert unseen == explanation.target_pieces[1:]
    hidden = page.find_elements(By.CSS_SELECTOR, ".piece.unseen")
    assert {piece.text for piece in hidden} == {""}, "what is not written is not shown"
    assert all("not written yet" in str(piece.get_attribute("aria-label")) for piece in hidden)
    scrubber.send_keys(Keys.ARROW_RIGHT)
    assert f"piece 2 of {end}" in text(page, "step-said")
    press(page, Keys.SPACE)
    assert text(page, "play") == "Pause"
    at_3 = lambda driver: f"piece 4 of {end}" in text(driver, "step-said")  # noqa: E731
    WebDriverWait(page, 10, poll_frequency=0.05).until(at_3)
    press(page, Keys.SPACE)
    assert text(page, "play") == "Play"
    # Inside the sentences, the arrow keys move from piece to piece.
    page.execute_script("document.querySelector('#target-pieces button').focus()")
    press(page, Keys.ARROW_RIGHT)
    assert f"Writing “{first.lstrip('␣')}”" in text(page, "stage-said")
    press(page, Keys.END)
    assert text(page, "stage-said") == f"Piece {end} is not written yet; no query may attend to it."
    assert page.find_elements(By.CSS_SELECTOR, ".ribbon") == []


def test_ribbons_grow_unless_motion_is_unwanted(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    animation = "return getComputedStyle(document.querySelector('.ribbon')).animationName"
    go_to(page, 1)
    assert page.execute_script(animation) == "grow"
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    go_to(page, 2)
    assert page.execute_script(animation) == "none"


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_probabilities_of_the_next_piece(show: Open, explanation: Explanation, temperature: float) -> None:
    page = show(explanation)
    step = max(
        range(len(explanation.choices)), key=lambda i: 0.5 - abs(explanation.choices[i].probability - 0.5)
    )
    go_to(page, step)
    page.execute_script(
        "const slider = document.getElementById('temperature'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input'))",
        temperature,
    )
    choice = explanation.choices[step]
    names, values = zip(
        (explanation.target_pieces[step], choice.probability), *choice.alternatives, strict=True
    )
    assert texts(page, ".bar > span") == list(names)
    raised = [value ** (1 / temperature) for value in values]
    total = 1 if temperature == 1 else sum(raised)
    script = """return [...document.querySelectorAll('.bar')]
        .map((bar) => Number(bar.style.getPropertyValue('--sure')))"""
    assert page.execute_script(script) == pytest.approx([value / total for value in raised], abs=1e-3)
    said = text(page, "renormalised")
    assert ("renormalised: the pieces shown had" in said) == (temperature != 1)


def test_the_header_is_honest(show: Open, explanation: Explanation) -> None:
    complete = [[i, 0] for i in range(len(explanation.source_words))]
    page = show(explanation, alignment=complete, confidence=None, is_source_language=True, model=None)
    assert text(page, "source") == explanation.source
    assert text(page, "translation") == explanation.translation
    notes = text(page, "notes")
    for part in ("guessing", "robability", "look like", "Model"):
        assert part not in notes
    shares = [1.0] * len(explanation.target_words)
    for owner, choice in zip(explanation.target_owners, explanation.choices, strict=True):
        if owner >= 0:
            shares[owner] *= choice.probability
    for span, share in zip(page.find_elements(By.CSS_SELECTOR, "#translation span"), shares, strict=True):
        percent = re.search(r"\d+", str(span.get_attribute("title")))
        assert percent is not None
        assert int(percent[0]) == pytest.approx(100 * share, abs=1)
        line = (
            span.value_of_css_property("text-decoration-line"),
            span.value_of_css_property("text-decoration-style"),
        )
        assert line == ("none" if share >= 0.8 else "underline", "wavy" if share < 0.5 else "solid")
        assert line[1] != page.find_element(By.CLASS_NAME, "term").value_of_css_property(
            "text-decoration-style"
        )
    legend = page.find_element(By.ID, "unaligned")
    assert not legend.is_displayed()
    page = show(explanation, alignment=[link for link in complete if link[0] != 1], **FACTS)
    assert texts(page, "#source .unaligned") == [explanation.source_words[1]]
    assert page.find_element(By.ID, "unaligned").is_displayed()
    notes = text(page, "notes").replace("\u00a0", " ")
    for part in (
        "This does not look like French.",
        "The model is guessing: the probability that this is close to a correct translation (chrF ≥ 60) is "
        "34 %.",
        "Model tiny · corpus phrases · 30 November 2026 · BLEU 58.0",
    ):
        assert part in notes
    sure = {"probability": 0.83, "is_guess": False, "min_chrf": 60}
    page = show(explanation, confidence=sure)
    assert "guessing" not in text(page, "notes")
    quiet = "Probability that this is close to a correct translation (chrF ≥ 60): 83\u00a0%"
    assert quiet in texts(page, "#notes .quiet")


def test_the_film_is_played_by_keyboard(show: Open, explanation: Explanation) -> None:
    page = show(explanation, film=None)
    assert not page.find_element(By.ID, "film").is_displayed()
    recorded = film()
    page = show(explanation, film=recorded)
    assert text(page, "moment-text") == "the the"
    page.execute_script("document.getElementById('film-play').focus()")
    press(page, Keys.SPACE)
    assert text(page, "moment-text") == "The queen"
    assert text(page, "film-play") == "Play", "it stops at the end"
    assert "After 1,280 training steps" in text(page, "moment-step")
    assert texts(page, ".heat td") == ["90", "6", "", "8", "91", "", "", "", "98"]
    slider = page.find_element(By.ID, "moment")
    assert slider.get_attribute("aria-valuetext") == "training step 1280, moment 2 of 2"
    slider.send_keys(Keys.ARROW_LEFT)
    page.find_element(By.ID, "film-sentence").send_keys("Ma")
    assert text(page, "moment-text") == "the the?"
    assert texts(page, ".heat thead th")[1:] == recorded["sentences"][2]["pieces"]
    assert texts(page, ".heat td") == ["33"] * 9


def test_terms_are_explained_on_hover_and_on_focus(show: Open, explanation: Explanation) -> None:
    page = show(explanation, **FACTS)
    term = page.find_element(By.CSS_SELECTOR, "#player .term[aria-describedby=term-query]")
    tip = page.find_element(By.ID, "term-query")
    assert not tip.is_displayed()
    ActionChains(page).move_to_element(term).perform()
    assert "multiplied with every key" in tip.text
    press(page, Keys.ESCAPE)
    assert not tip.is_displayed()
    last = page.find_elements(By.CSS_SELECTOR, "#player .term")[-1]
    tip = page.find_element(By.ID, str(last.get_attribute("aria-describedby")))
    page.execute_script("arguments[0].focus()", last)
    assert tip.is_displayed()
    press(page, Keys.TAB)
    assert not tip.is_displayed()
    defined = page.execute_script("return [...document.querySelectorAll('[popover]')].map((tip) => tip.id)")
    explained = page.execute_script(
        "return [...document.querySelectorAll('.term')].map((term) => term.getAttribute('aria-describedby'))"
    )
    assert set(defined) == set(explained), "each definition belongs to a word on the page"
    named = {term.lower() for term in texts(page, ".term")}
    assert {"query", "keys", "values", "head", "mask", "hypotheses", "beam size", "piece", "softmax"} <= named
    assert texts(page, "#cell-steps .term") == [], "scores are others there"
    in_header = {term.lower() for term in texts(page, "header .term")}
    assert in_header >= {"chrf", "score", "σ log p", "beam size", "aligned"}


def shortened(text: str) -> str:
    """The last words of a text, at most 40 characters."""
    return text if len(text) <= 40 else re.sub(r"^.+? (?=.{0,40}$)", "… ", text)


def test_it_says_where_the_beam_changes_its_mind(show: Open, translator: Translator) -> None:
    search = translator.config.search.model_copy(update={"length_penalty": 0.9})
    config = translator.config.model_copy(update={"search": search})
    shown = explain(Translator(translator.model, translator.tokenizer, config), "La reine chante.")
    page, nodes = show(shown), shown.nodes
    texts_to = [""]
    for piece, node in zip(shown.node_pieces[1:], nodes[1:], strict=True):
        texts_to.append(texts_to[node.parent] + piece.replace("␣", " "))
    best = {node.depth: number for number, node in reversed(list(enumerate(nodes)))}
    path = [number for number, node in enumerate(nodes) if node.chosen]
    behind = [nodes[number].depth for number in path if best[nodes[number].depth] != number]
    expected = []
    for step in [step for step in behind if step - 1 not in behind]:
        ahead, ours = (
            f"“{shortened(texts_to[number].strip())}” (Σ log p −{-nodes[number].log_prob:.2f})"
            for number in (best[step], path[step])
        )
        back = next((i for i in range(step, len(path)) if i not in behind), None)
        over = back is not None and nodes[best[back - 1]].fate == "finished"
        after = f"on top again at step {back}{', the former having ended' if over else ''}."
        after = "not on top again." if back is None else after
        expected.append(f"At step {step}, {ahead} was ahead of {ours}; the latter is {after}")
    *changes, ending = texts(page, "#minds p")
    assert changes == expected != []
    likeliest = max((number for number, _ in shown.hypotheses), key=lambda number: nodes[number].log_prob)
    assert likeliest != path[-1]
    assert f"α = {shown.length_penalty}, which is why “{shortened(shown.translation)}” (−" in ending
    assert f"{-nodes[likeliest].log_prob:.2f} ÷ {nodes[likeliest].depth}^0.9 = −" in ending
    assert f"−{-shown.score:.3f}" in ending
    marked = [int(label.split()[0]) for label in texts(page, "#beam-scroll .step") if "not on top" in label]
    assert marked == behind
    assert f"÷ {len(path) - 1}^0.9 (pieces)" in text(page, "notes")
    # Where another piece was more probable after the same ones, it is said at this step.
    for step, number in enumerate(path[1:]):
        siblings = [other for other, node in enumerate(nodes) if node.parent == nodes[number].parent]
        go_to(page, step)
        other = shown.node_pieces[siblings[0]].lstrip("␣")
        said = f"“{other}” was more probable here" if siblings[0] != number else ""
        assert text(page, "likelier").startswith(said)
        assert bool(text(page, "likelier")) == bool(said)
    assert page.execute_script("return document.getElementById('beam-scroll').scrollLeft") > 0


def test_nothing_moves_while_the_player_writes(show: Open, translator: Translator) -> None:
    explanation = explain(translator, "La reine chante.")
    page = show(explanation)
    places = []
    for step in range(len(explanation.target_pieces) + 1):
        go_to(page, step)
        places.append(
            page.execute_script(
                "return ['#controls', '#scrubber', '#temperature', '#words-table', '.piece:last-child']"
                ".map((name) => [...document.querySelectorAll(name)].at(-1).getBoundingClientRect())"
                ".map(({ left, top }) => [left, top])"
            )
        )
    for place, first in zip(itertools.chain(*places), itertools.cycle(places[0]), strict=False):
        assert place == pytest.approx(first, abs=0.5)


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
    while "pruned" not in text(page, "beam-said"):
        press(page, Keys.ARROW_DOWN)
    frame = tree.find_element(By.CSS_SELECTOR, ".frame")
    assert frame.is_displayed()
    page.find_element(By.ID, "pruned").click()
    assert not pruned[0].is_displayed()
    assert not frame.is_displayed(), "nothing is framed"
    assert tree.find_element(By.CSS_SELECTOR, ".trail").get_attribute("d") is None
    assert text(page, "beam-said") == ""
    assert texts(page, "#hypotheses tbody th") == [found for _, found in explanation.hypotheses]


def test_the_beam_follows_the_player(show: Open, explanation: Explanation) -> None:
    page = show(explanation)
    step = 3
    go_to(page, step)
    shown = page.execute_script(
        "return [...document.querySelectorAll('#beam-scroll text:not(.step)')]"
        ".map((text) => [getComputedStyle(text).display !== 'none', text.classList.contains('dead')])"
    )
    nodes = explanation.nodes
    assert [is_shown for is_shown, _ in shown] == [node.depth <= step for node in nodes]
    alive: set[int] = {0}
    for number, node in enumerate(nodes):
        if node.depth <= step and (node.fate == "finished" or (node.depth == step and node.fate != "pruned")):
            while number > 0:
                alive.add(number)
                number = nodes[number].parent
    written = [number for number, node in enumerate(nodes) if node.depth <= step]
    assert [shown[number][1] for number in written] == [number not in alive for number in written]
    column, later = (
        page.find_element(By.CSS_SELECTOR, f"#beam-scroll .{name}") for name in ("column", "later")
    )
    assert float(column.get_attribute("x") or 0) < float(later.get_attribute("x") or 0)
    held = [node for node in nodes if node.depth == step and node.fate != "pruned"]
    assert text(page, "beam-said").count("“") == len(held) > 1
    go_to(page, len(explanation.target_pieces))
    assert not column.is_displayed()
    # In a narrow window, the current column is scrolled into view.
    look(page, width=400)
    go_to(page, len(explanation.target_pieces) - 1)
    assert page.execute_script("return document.getElementById('beam-scroll').scrollLeft") > 0


def test_everything_is_reached_with_the_tab_key(show: Open, explanation: Explanation) -> None:
    page = show(explanation, film=film())
    reached = set()
    for _ in range(70):
        press(page, Keys.TAB)
        reached.add(
            page.execute_script(
                "const here = document.activeElement;"
                "return here.closest('[id]')?.id + ' ' + here.tagName.toLowerCase()"
            )
        )
    wanted = {"source-pieces button", "target-pieces button", "first button", "play button", "scrubber input"}
    wanted |= {"temperature input", "words-table summary", "all-heads button", "heads button", "maps canvas"}
    wanted |= {"pruned input", "beam-scroll svg", "beam-table summary", "map-tables summary", "player button"}
    wanted |= {"film-sentence select", "film-play button", "moment input", "moment-map div"}
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
    page = show(brief, film=film(), **FACTS)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    go_to(page, 1)
    for summary in page.find_elements(By.TAG_NAME, "summary"):
        summary.click()
    click_cell(page, 1, 0, 1)
    page.find_element(By.ID, "several").click()
    for head in page.find_elements(By.CSS_SELECTOR, "#heads button")[:3]:
        head.click()
    assert page.find_element(By.ID, "cell").is_displayed()
    assert violations(page) == []
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
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
