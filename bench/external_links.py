"""Asks for every address in the repository that leads out of it: `make links`, or `python -m bench.external_links`.

Pages, rule packs and code are searched. It needs the internet, and other people's servers have bad days: so no test
runs it. Exit code 1 when an address is gone; one that refuses programs (401, 403, 429) is named and counts as there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import anyio
import httpx

ROOT: Final = Path(__file__).parents[1]
KINDS: Final = (".md", ".toml", ".py", ".lua", ".yml", ".yaml", ".mjs", ".html")
URL: Final = re.compile(r"https?://[\w.-]+\.[a-z]{2,}(?::\d+)?(?:/[^\s`'\"<>)\]}\\|]*)?")
NOT_REAL: Final = re.compile(
    r"https?://(?:[\w.-]+\.)?(?:example|test|invalid|local|localhost|svc)(?:\.\w+)?(?:[:/]|$)"
)
REFUSES_PROGRAMS: Final = {401, 403, 405, 429}
TIMEOUT_S: Final = 20.0
AT_ONCE: Final = 8


def addresses(texts: Iterable[str]) -> list[str]:
    """Each once, in order, without what a sentence puts behind them."""
    found = {url.rstrip(".,;:!?*") for text in texts for url in URL.findall(text)}
    return sorted(url for url in found if not NOT_REAL.match(url))


def texts_of_repository() -> list[str]:
    """The tracked files that people read or run, without the tests and the list of packages."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.splitlines() if not name.startswith("tests/")]
    return [path.read_text("utf-8") for path in paths if path.suffix in KINDS and path.exists()]


async def verdicts(urls: Sequence[str]) -> dict[str, str]:
    """Of each address that is not simply there: what it answers, or why it does not."""
    found: dict[str, str] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)
    headers = {"User-Agent": "Mozilla/5.0 (links of streamdialer)"}
    async with (
        httpx.AsyncClient(follow_redirects=True, timeout=TIMEOUT_S, headers=headers) as client,
        anyio.create_task_group() as tasks,
    ):

        async def ask(url: str) -> None:
            async with limit:
                try:
                    async with client.stream("GET", url) as reply:
                        if reply.status_code != 200:
                            found[url] = str(reply.status_code)
                except httpx.HTTPError as error:
                    found[url] = type(error).__name__

        for url in urls:
            tasks.start_soon(ask, url)
    return found


def main() -> int:
    """Prints each address that is not simply there."""
    urls = addresses(texts_of_repository())
    found = anyio.run(verdicts, urls)
    gone = [
        url for url, verdict in found.items() if not (verdict.isdigit() and int(verdict) in REFUSES_PROGRAMS)
    ]
    sys.stdout.writelines(f"{found[url]:<20} {url}\n" for url in sorted(found))
    if len(gone) == len(urls):
        sys.stdout.write("no address answers: this needs the internet\n")
    else:
        sys.stdout.write(f"{len(urls)} addresses, {len(gone)} of them gone\n")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
