"""One person in two lists, of which only one says the country: one call, one count, one do-not-call list."""

from __future__ import annotations

import pytest

from streamdialer.consumers.dialing.contact_rows import load_row
from streamdialer.consumers.services import Services
from streamdialer.model import Contact
from streamdialer.operations.number_countries import check_number_countries
from streamdialer.rules.numbers import read_number
from tests.support.caps_fixture import CapsWorld

SAME = [
    ("+573001234567", "3001234567"),
    ("+573001234567", "0300 123 4567"),
    ("+33612345678", "06 12 34 56 78"),
    ("+390612345678", "06 1234 5678"),
    ("+79161234567", "8 916 123-45-67"),
    ("+3612345678", "06 1 234 5678"),
    ("+13055551234", "(305) 555-1234"),
    ("+447911123456", "447911123456"),
]
OTHERS = [("+573001234567", "3001234568"), ("+573001234567", "57300123456"), ("+33612345678", "12345678")]


@pytest.fixture
async def world(services: Services) -> CapsWorld:
    world = CapsWorld(services)
    await world.set_agents(9)
    return world


async def know(world: CapsWorld, campaign: str, contact: str, spelled: str) -> None:
    """The contact as the backend lists it, and no one knows its country."""
    await world.know(campaign, contact, str(read_number(spelled)))


@pytest.mark.parametrize("first", [0, 1], ids=["international first", "local first"])
@pytest.mark.parametrize("pair", SAME, ids=" ".join)
async def test_a_number_has_one_call_with_and_without_its_country(
    world: CapsWorld, pair: tuple[str, str], first: int
) -> None:
    await know(world, "1", "1", pair[first])
    await know(world, "2", "2", pair[1 - first])
    await world.call("1")
    assert await world.refused("2") == {"in_call": 1}


@pytest.mark.parametrize("first", [0, 1], ids=["international first", "local first"])
@pytest.mark.parametrize("scope", ["number", "person"])
async def test_a_number_has_one_cap_with_and_without_its_country(
    world: CapsWorld, scope: str, first: int
) -> None:
    pair = SAME[0]
    await know(world, "1", "1", pair[first])
    await know(world, "2", "2", pair[1 - first])
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": scope}])
    await world.missed("1")
    assert await world.refused("2") == {"cap_attempts": 1}


@pytest.mark.parametrize("first", [0, 1], ids=["international listed", "local listed"])
@pytest.mark.parametrize("pair", SAME, ids=" ".join)
async def test_the_do_not_call_list_knows_a_number_with_and_without_its_country(
    world: CapsWorld, pair: tuple[str, str], first: int
) -> None:
    suppression, [listed, called] = world.services.suppression, [pair[first], pair[1 - first]]
    await know(world, "1", "1", called)
    await suppression.suppress([read_number(listed)], "by hand")
    assert await world.state_of("1") == "final", "at once"
    await know(world, "2", "2", called)
    assert await world.state_of("2", "2") == "final", "and when it comes"
    [entry] = await suppression.check([read_number(called)])
    assert entry is not None
    assert await suppression.on_dnc_list([str(read_number(called))])


@pytest.mark.parametrize("pair", OTHERS, ids=" ".join)
async def test_numbers_that_cannot_be_one_are_two(world: CapsWorld, pair: tuple[str, str]) -> None:
    await know(world, "1", "1", pair[0])
    await know(world, "2", "2", pair[1])
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": "person"}])
    await world.call("1")
    await world.call("2")


async def test_one_number_of_two_countries_is_two_persons(world: CapsWorld) -> None:
    await know(world, "1", "1", "+573001234567")
    await know(world, "2", "2", "+523001234567")
    world.cap(attempt_caps=[{"count": 1, "window_h": 24, "scope": "person"}])
    await world.call("1")
    await world.call("2")
    await world.services.suppression.suppress([read_number("+573001234567")], "by hand")
    await know(world, "3", "3", "+523001234567")
    assert await world.state_of("3", "3") == "ready"


@pytest.mark.parametrize(("country", "level"), [("", "warn"), ("CO", "ok")])
async def test_doctor_asks_for_the_country(world: CapsWorld, country: str, level: str) -> None:
    client, keys = world.client, world.keys
    await world.open_campaign("1", contacts=0)
    assert await check_number_countries(client, keys, "1") is None
    row = load_row(Contact(id=1, phone_number="3001234567"), country=country)
    await world.services.campaigns.load("1", [row], 3)
    finding = await check_number_countries(client, keys, "1")
    assert finding is not None
    assert (finding.level, "country" in finding.remedy) == (level, level == "warn")
