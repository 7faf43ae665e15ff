"""A browser for the tests of the page: Debian's Chromium, or the one that REREADER_CHROMIUM names."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from rereader.testing.serving import serving

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path():
    """The browser's program; without one the tests fail, since a page that nobody looked at is not tested."""
    found = os.environ.get("REREADER_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.fail("There is no browser: install Debian's package chromium, or name a Chromium by REREADER_CHROMIUM.")
    return found


@pytest.fixture(scope="module")
def browser():
    """A browser for a file of tests: an event loop of its own runs as long as it is open."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """A function that serves a folder, or a new one, with scripted models; all servers stop after the file of tests."""
    opened = []

    def start(folder=None, **settings):
        context = serving(folder or tmp_path_factory.mktemp("workspace"), **settings)
        served = context.__enter__()
        opened.append(context)
        return served

    yield start
    for context in reversed(opened):
        context.__exit__(None, None, None)


class Visitor:
    """A window on a server. What the browser complains about is kept: errors of scripts, breaches of the policy."""

    def __init__(self, context, served):
        self.served = served
        self.page = context.new_page()
        self.complaints = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(served.entrance)

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def open(self, path):
        """Go to an address of the server and wait until its view is there."""
        self.page.goto(self.served.url + path)
        self.settle()

    def settle(self):
        """Wait until the view is there and stands still."""
        self.page.wait_for_selector("main .room")
        self.page.wait_for_selector("main:not([aria-busy])")
        self.page.wait_for_selector(".step[aria-busy]", state="detached")

    def path(self):
        """The path and query of the window's address."""
        return self.page.url.removeprefix(self.served.url)

    def overflow(self):
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture
def visit(browser):
    """A function that opens a window on a server; a test whose windows complained about anything fails."""
    contexts, visitors = [], []

    def start(served, *, width=1440, height=900, scheme="light"):
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(20_000)
        contexts.append(context)
        visitors.append(Visitor(context, served))
        return visitors[-1]

    yield start
    for context in contexts:
        context.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
