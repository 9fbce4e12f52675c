"""Links out of the repository are found, and those that are gone are named: `make links`."""

from __future__ import annotations

from aiohttp import web

from bench.external_links import addresses, texts_of_repository, verdicts
from tests.support.http_server import listening


async def site(request: web.Request) -> web.Response:
    """Answers with the status that its path names; 302 leads to a page that is there."""
    return web.Response(status=int(request.path[1:]), headers={"Location": "/200"})


def test_each_address_is_found_once_without_the_sentence_around_it() -> None:
    text = "See [it](https://www.w3.org/TR/a/), https://www.w3.org/TR/a/. Not http://127.0.0.1:8000 or https://crm.example/x."
    assert addresses([text, "sources = ['https://ley.co/x?p=1']"]) == [
        "https://ley.co/x?p=1",
        "https://www.w3.org/TR/a/",
    ]


def test_the_sources_of_rule_packs_are_asked_for() -> None:
    found = addresses(texts_of_repository())
    assert "https://www.standardwebhooks.com" in found
    assert any("leyonline.co" in url for url in found)


async def test_an_address_that_is_gone_is_named() -> None:
    async with listening(site) as url:
        found = await verdicts(
            [f"{url}/200", f"{url}/302", f"{url}/404", f"{url}/403", "http://127.0.0.1:9/"]
        )
    assert found == {f"{url}/404": "404", f"{url}/403": "403", "http://127.0.0.1:9/": "ConnectError"}
