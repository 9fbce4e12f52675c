"""Chromium on a page of the dashboard."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import ConsoleMessage, Page, async_playwright

CHROMIUM: Final = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE: Final = {"width": 375, "height": 812}


@asynccontextmanager
async def browsing(address: str, **options: Any) -> AsyncIterator[Page]:
    """A page of the dashboard; what its policy forbids, and anything asked of another host, fails the test."""
    faults: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(base_url=address, **options)
        page = await context.new_page()
        page.on("console", lambda said: faults.append(said.text) if is_fault(said) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(address) else faults.append(asked.url))
        yield page
        await browser.close()
    assert faults == []


def is_fault(said: ConsoleMessage) -> bool:
    """A page that is asked for and not there is none."""
    return said.type == "error" and not re.search("status of (404|503)", said.text)
