"""A real browser for the tests of pages, one for the whole session. A pytest plugin.

Tests that use it are skipped where Playwright or Chromium is missing: `pip install playwright` and, on Debian,
`apt-get install chromium`; no browser is ever downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""The browser is to call nobody by itself."""


@dataclass
class Watched:
    """A page, every address it has asked for, and all it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Headless Chromium, as this machine has it."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (pip install playwright)")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    # Chromium's sandbox does not work for root, whom containers run tests as.
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*QUIET, *as_root])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """``visit(address, **options of a browser context)`` opens a page in a new, empty context, in English and light."""
    contexts = []

    def opened(address: str, **options: Any) -> Watched:
        context = chromium.new_context(**{"locale": "en-GB", "color_scheme": "light"} | options)
        contexts.append(context)
        context.set_default_timeout(5_000)
        watched = Watched(context.new_page())
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.on(
            "console",
            lambda said: watched.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        watched.page.goto(address)
        return watched

    yield opened
    for context in contexts:
        context.close()
