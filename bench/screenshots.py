"""Pictures of every page of a dashboard that runs: `python -m bench.screenshots http://127.0.0.1:5555 FOLDER`.

They are taken in both languages, as a phone and a desktop show them. With `--docs`, the pictures of the documentation
are taken instead. It needs Chromium (`make browser`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES: Final = Path(__file__).parent.parent / "docs/images"
WIDTHS: Final = {"phone": 390, "desktop": 1280}
LANGUAGES: Final = {"en": "en-GB", "es": "es-CO"}
PAGES: Final = {
    "campaigns": "/",
    "campaign": "/campaigns/1",
    "calls": "/calls",
    "agents": "/agents",
    "contacts": "/contacts",
    "contact": "/campaigns/1/contacts/1",
    "streams": "/streams",
    "replicas": "/replicas",
    "dead": "/dead",
    "missing": "/nowhere",
}


@contextmanager
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise SystemExit("no Chromium: `make browser` installs Debian's, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


def take(
    browser: Browser,
    url: str,
    file: Path,
    *,
    path: str,
    width: int,
    language: str = "en",
    dark: bool = False,
    whole: bool = True,
) -> None:
    context = browser.new_context(
        base_url=url,
        locale=LANGUAGES[language],
        timezone_id="America/Bogota",
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": 900},
    )
    page = context.new_page()
    page.goto("/")  # the cookie of the time zone is set there
    page.goto(path)
    page.wait_for_load_state("networkidle")
    say_how_wide(page, file)
    page.screenshot(path=file, full_page=whole)
    context.close()


def say_how_wide(page: Page, file: Path) -> None:
    """Names a page that is wider than its window."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if wide > window:
        sys.stdout.write(f"{file.name}: {wide} px wide in a window of {window}\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="of the dashboard; it has a campaign 1 with a contact 1, and no log-in")
    parser.add_argument("folder", type=Path, nargs="?", help="where the pictures go")
    parser.add_argument("--docs", action="store_true", help=f"the pictures in {IMAGES.name}/ instead")
    options = parser.parse_args()
    if options.docs == bool(options.folder):
        parser.error("name a folder, or --docs")
    with browser() as chromium:
        if options.docs:
            take(chromium, options.url, IMAGES / "dashboard-campaigns.png", path="/", width=1440)
            dark = IMAGES / "dashboard-campaign-dark.png"
            take(chromium, options.url, dark, path="/campaigns/1", width=1440, dark=True)
            take(
                chromium, options.url, IMAGES / "dashboard-phone.png", path="/agents", width=390, whole=False
            )
            return
        options.folder.mkdir(parents=True, exist_ok=True)
        for name, path in PAGES.items():
            for device, width in WIDTHS.items():
                for language in LANGUAGES:
                    file = options.folder / f"{name}-{language}-{device}.png"
                    take(chromium, options.url, file, path=path, width=width, language=language)


if __name__ == "__main__":
    main()
