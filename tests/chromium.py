"""A real browser for tests marked `system`: Debian's Chromium, without a window or a network."""

import base64
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,900",
)


@contextmanager
def chromium(profile: Path, *, offline: bool = True) -> Iterator[webdriver.Chrome]:
    """Start one with an empty profile; what comes on its console is kept.

    No name but this machine's has an address; `offline` shuts out this machine too.
    """
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if None in found:
        if os.environ.get("CI"):
            pytest.fail("in CI, Debian's packages chromium and chromium-driver must be installed")
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(found[0])
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
    driver.set_script_timeout(120)  # axe, on a busy machine
    driver.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    try:
        yield driver
    finally:
        driver.quit()


def look(driver: webdriver.Chrome, *, scheme: str = "light", width: int = 1280, height: int = 900) -> None:
    """Set the colour scheme and the size of the screen; a narrow one is a phone's."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def screenshot(driver: webdriver.Chrome, path: Path) -> None:
    """Write a picture of the whole page."""
    size = driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    scheme = driver.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches")
    look(driver, scheme="dark" if scheme else "light", width=size[0], height=size[1])
    time.sleep(0.3)  # until what depends on the size is drawn
    picture = driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
    path.write_bytes(base64.b64decode(picture))


def violations(driver: webdriver.Chrome) -> list[str]:
    """Return what axe finds that is moderate or worse."""
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in Axe().run(driver)["violations"]
        if one["impact"] in ("moderate", "serious", "critical")
    ]
