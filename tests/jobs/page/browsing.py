"""A headless Chromium without a network, which writes down what a page asks for and complains of."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
HARMLESS = ("deck: ", "GL Driver Message")
"""Beginnings of warnings about how fast a software renderer is."""
WATCH = """window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} at ${event.lineNumber}`);
});"""
PATIENCE_SECONDS = 30


@dataclass
class Tab:
    """A page in the browser, and what it did."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hook(self, expression: str) -> Any:
        """Evaluate a member of the page's hook."""
        return self.page.evaluate(f"window.crysift.{expression}")

    def violations(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.violations")
        return found

    def wait_for(self, expression: str) -> None:
        """Wait until an expression holds; `wait_for_function` polls with eval, which the page forbids."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.page.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression} never became true"
            self.page.wait_for_timeout(20)

    def clear(self) -> None:
        """Go back to how the page began: nothing selected, open or filtered."""
        self.page.locator("#overlay").focus()
        for _ in range(4):
            self.page.keyboard.press("Escape")
        self.page.keyboard.press("0")
        self.page.keyboard.press("v")

    def _note(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(HARMLESS):
            self.complaints.append(f"{message.type}: {message.text}")


def chromium() -> str:
    """Path of the browser; the test is skipped where there is none."""
    named = os.environ.get("CRYSIFT_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium is here: install one of {', '.join(NAMES)}, or set CRYSIFT_CHROMIUM")
    return found


@contextmanager
def launched() -> Iterator["Browser"]:
    """Start the browser."""
    path = chromium()
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: "Browser", url: str, *, offline: bool = True, before: str = "") -> Iterator[Tab]:
    """Open a page, with the network off, and wait until it answers; `before` is run in it first."""
    context: BrowserContext = browser.new_context(
        viewport={"width": 1280, "height": 720}, offline=offline, reduced_motion="reduce"
    )
    tab = Tab(context.new_page())
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.on("console", tab._note)
    tab.page.on("pageerror", lambda error: tab.complaints.append(f"uncaught: {error}"))
    tab.page.add_init_script(WATCH + before)
    tab.page.goto(url)
    tab.wait_for("window.crysift?.ready" if before else "window.crysift?.frames > 0")
    yield tab
    context.close()
