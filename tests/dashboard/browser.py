"""A headless Chromium that keeps what its console says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.debian import program

__all__ = ["Browser"]


class Browser:
    """One window. Skips the test where there is no Chromium to be had."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = program("chromium", "chromium")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Service(program("chromedriver", "chromium-driver"))
        self.driver = webdriver.Chrome(options=options, service=driver)
        self.size(1280, 900)

    def close(self) -> None:
        self.driver.quit()

    def open(self, url: str) -> None:
        """A new page: what the last one kept is gone."""
        self.driver.get("about:blank")
        self.console()
        self.driver.get(url)

    def size(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def console(self) -> list[str]:
        """What it has said since it was last asked."""
        return [json.dumps(line) for line in self.driver.get_log("browser")]

    def run(self, script: str, *arguments: object) -> Any:
        """The result of JavaScript, which the page's policy does not bind."""
        return self.driver.execute_script(script, *arguments)

    def find(self, name: str) -> WebElement:
        """The element with this id."""
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        """What is to be read in it, shown or not."""
        return str(self.run("return document.getElementById(arguments[0])?.textContent ?? ''", name))

    def wait(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        """Until ``true()``."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.run("return document.body.innerText")
            time.sleep(0.05)
