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
    """A page of the dashboard; the test fails for what its policy forbids and for any request to another host."""
    faults: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(base_url=address, **options)
        page = await context.new_page()
        page.on("console", lambda message: faults.append(message.text) if is_fault(message) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(address) else faults.append(request.url)
        )
        yield page
        await browser.close()
    assert faults == []


def is_fault(message: ConsoleMessage) -> bool:
    """An error of the browser's console, unless it only reports a page that is missing or not available."""
    return message.type == "error" and not re.search("status of (404|503)", message.text)
