"""What the tests in a browser do with an opened page."""

import json
import re
from typing import Any, Protocol

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from translator.explain import Explanation


class Open(Protocol):
    def __call__(self, explanation: Explanation, **facts: Any) -> webdriver.Chrome: ...


def with_facts(page: str, facts: dict[str, Any]) -> str:
    head, tail = page.split('id="facts">')
    data, tail = tail.split("</script>", 1)
    return f'{head}id="facts">{json.dumps({**json.loads(data), **facts})}</script>{tail}'


def text(driver: webdriver.Chrome, name: str) -> str:
    return str(driver.execute_script("return document.getElementById(arguments[0]).textContent", name))


def texts(driver: webdriver.Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)"
    return driver.execute_script(script, selector)


def press(driver: webdriver.Chrome, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def said_of(driver: webdriver.Chrome, role: int) -> str:
    return driver.find_elements(By.CSS_SELECTOR, "figure .said")[role].text


def click_cell(driver: webdriver.Chrome, role: int, query: int, key: int) -> None:
    driver.execute_script(
        """
        const [role, query, key] = arguments, canvas = document.querySelectorAll('figure canvas')[role];
        canvas.scrollIntoView({ block: 'center' });
        const { left, top } = canvas.getBoundingClientRect();
        const cell = parseFloat(getComputedStyle(canvas.parentElement).getPropertyValue('--cell'));
        canvas.dispatchEvent(new MouseEvent('click',
          { clientX: left + (key + 0.5) * cell, clientY: top + (query + 0.5) * cell, bubbles: true }));
        """,
        role,
        query,
        key,
    )


def pixels(driver: webdriver.Chrome, role: int) -> list[list[list[int]]]:
    """Return the red, green, blue and alpha of each cell of a map; of the first stripe, if it has several."""
    return driver.execute_script(
        """
        const canvas = document.querySelectorAll('figure canvas')[arguments[0]];
        const { width, height } = canvas, copy = new OffscreenCanvas(width, height)
          .getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const stripes = width / Number(getComputedStyle(canvas).getPropertyValue('--keys'));
        const { data } = copy.getImageData(0, 0, width, height), all = [...Array(width * height).keys()];
        const cells = all.filter((i) => i % stripes === 0).map((i) => [...data.slice(4 * i, 4 * i + 4)]);
        return Array.from({ length: height }, () => cells.splice(0, width / stripes));
        """,
        role,
    )


def pressed(buttons: list[WebElement]) -> list[int]:
    return [i for i, button in enumerate(buttons) if button.get_attribute("aria-pressed") == "true"]


def numbers(text: str) -> list[float]:
    """Return the numbers with a decimal point in a text, and −∞."""
    found = re.findall(r"−?\d+\.\d+|−∞", text)
    return [float(number.replace("−", "-").replace("∞", "inf")) for number in found]


def strips(driver: webdriver.Chrome, step: str) -> list[list[float]]:
    """Return the numbers of each row of bars of a step."""
    found = driver.find_elements(By.CSS_SELECTOR, f"#step-{step} .strip")
    return [numbers(str(strip.get_attribute("aria-label"))) for strip in found]


def go_to(driver: webdriver.Chrome, step: int) -> None:
    script = """const scrubber = document.getElementById('scrubber');
        scrubber.value = arguments[0]; scrubber.dispatchEvent(new Event('input'))"""
    driver.execute_script(script, step)
