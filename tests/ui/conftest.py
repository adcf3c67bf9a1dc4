"""Fixtures of `tests/ui`: `hale` and `upstream` of tests/sdk, and `page`, a browser's page.

Always true: a message of the browser's console that says error, or an error of a script, fails the test that it came in,
unless the test expects it; a request to anything but the gateway fails it too.
"""

import importlib.resources
import os
import pathlib
import shutil
import sys

import pytest
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sdk"))

from fixtures import hale, upstream  # noqa: E402
from gateway import MASTER_KEY  # noqa: E402

__all__ = ["hale", "upstream"]

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        # Without a sandbox of its own it runs in a container too.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Dashboard:
    """A page of the dashboard of one gateway."""

    def __init__(self, page, url: str):
        self.page = page
        self.url = url
        self.troubles: list[str] = []
        #: What a test expects in the console.
        self.expected: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        page.on("request", self._requested)
        page.on("dialog", lambda dialog: self.troubles.append(f"dialog: {dialog.message}"))

    def _said(self, message) -> None:
        if message.type == "error" and not any(one in message.text for one in self.expected):
            self.troubles.append(f"console: {message.text}")

    def _requested(self, request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"request: {request.url}")

    def open(self, path: str = "health") -> "Dashboard":
        self.page.goto(f"{self.url}/ui/#/{path}")
        return self

    def sign_in(self, path: str = "health") -> "Dashboard":
        self.open(path)
        self.page.locator("#key").fill(MASTER_KEY)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("link", name="Health").wait_for()
        return self

    def faults(self) -> list[str]:
        """What axe-core finds serious or critical on the page as it is."""
        program = importlib.resources.files("axe_playwright_python") / "axe.min.js"
        if not self.page.evaluate("typeof axe !== 'undefined'"):
            # It is no part of the page, whose policy lets no other script in.
            self.page.evaluate(program.read_text() + "; void 0")
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
        return [f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:160]}"
                for one in found if one["impact"] in ("serious", "critical") for node in one["nodes"]]

    def sees(self, text: str, within: str = "body"):
        """Waits for a text, and returns the smallest element that has it."""
        found = self.page.locator(within).get_by_text(text).first
        found.wait_for()
        return found


@pytest.fixture
def dashboard(chromium):
    """Opens dashboards: `dashboard(gateway, width=390, color_scheme="dark")`."""
    opened = []

    def start(gateway, width: int = 1280, **options) -> Dashboard:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        opened.append((context, Dashboard(context.new_page(), gateway.url)))
        return opened[-1][1]

    yield start
    troubles = [trouble for _, one in opened for trouble in one.troubles]
    for context, _ in opened:
        context.close()
    assert troubles == []
