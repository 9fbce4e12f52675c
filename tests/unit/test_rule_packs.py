"""Rule packs: those that are shipped, and what is wrong with those that cannot be read."""

from __future__ import annotations

import re
from datetime import date

import pytest

from streamdialer.errors import CampaignError
from streamdialer.model import CampaignSettings
from streamdialer.rules.abandonment import abandon_limit
from streamdialer.rules.rule_pack import Cap, CoolOff, StatuteValue, load_pack, pack_names, read_pack
from streamdialer.rules.statutory_hours import public_holidays


def test_every_jurisdiction_has_its_pack() -> None:
    countries = "au br-rj ca cl co co-collection de es fr it mx none pe uk us"
    states = "us-al us-ct us-fl us-la us-md us-ms us-nj us-ok us-regf us-tx us-wa"
    assert pack_names() == [*countries.split(), *states.split()]


@pytest.mark.parametrize("name", pack_names())
def test_every_value_of_a_pack_names_its_statute_and_is_not_called_verified(name: str) -> None:
    pack = load_pack(name)
    assert pack.name == name
    cooloffs = (pack.min_gap, pack.abandon_cooloff, pack.machine_cooloff)
    singles = (
        pack.hours,
        *cooloffs,
        pack.abandon_cap,
        pack.min_ring,
        pack.consent_required,
        *pack.registries,
    )
    values: list[StatuteValue] = [
        *pack.attempt_caps,
        *pack.contact_caps,
        *(one for one in singles if one is not None),
    ]
    assert all(value.statute and not value.verified for value in values)
    assert bool(values) == bool(pack.sources) == (name != "none")
    assert all(re.fullmatch(r"https?://[^ ]+/[^ ]*", source) for source in pack.sources)


def test_the_caps_are_those_of_the_statutes() -> None:
    def caps(name: str) -> list[tuple[int, int, str]]:
        return [(cap.count, cap.window_h, cap.scope) for cap in load_pack(name).attempt_caps]

    assert caps("us") == []
    assert caps("us-fl") == caps("us-ok") == caps("us-md") == [(3, 24, "person")]
    assert caps("us-regf") == [(7, 168, "subject")]
    assert caps("fr") == [(4, 720, "person")]
    assert load_pack("us-regf").contact_caps == (
        Cap(count=1, window_h=168, scope="subject", statute="12 CFR 1006.14(b)(2)(i)(B)"),
    )
    assert load_pack("uk").abandon_cooloff == CoolOff(
        hours=72,
        scope="person",
        statute="our own limit: the guideline of Ofcom that had this value ended on 1 March 2017",
    )


def test_a_state_has_its_own_hours_and_its_countrys_abandon_cap() -> None:
    florida, country = load_pack("us-fl"), load_pack("us")
    assert florida.hours is not None
    assert florida.hours.monday == ("08:00-20:00",)
    assert florida.abandon_cap == country.abandon_cap
    assert (florida.title, florida.version) != (country.title, country.version)


@pytest.mark.parametrize(
    ("pack", "hours"), [("us", 720), ("us-fl", 720), ("us-regf", 720), ("uk", 24), ("co", 24), (None, 24)]
)
def test_the_abandon_rate_is_measured_over_the_packs_window(pack: str | None, hours: int) -> None:
    assert abandon_limit(CampaignSettings(queue_name="q", rule_pack=pack)) == (0.03, hours)


@pytest.mark.parametrize(
    ("pack", "wanted", "cap"), [("us", 0.05, 0.03), ("us", 0.01, 0.01), ("co", 0.05, 0.05)]
)
def test_the_narrower_abandon_cap_holds(pack: str, wanted: float, cap: float) -> None:
    settings = CampaignSettings(queue_name="q", rule_pack=pack, abandon_cap=wanted)
    assert abandon_limit(settings)[0] == cap


def test_colombias_epiphany_moves_to_monday() -> None:
    holidays = public_holidays("CO", 2026)
    assert date(2026, 1, 12) in holidays
    assert date(2026, 1, 6) not in holidays


HOURS = '[hours]\nstatute = "s"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = ", "Invalid value"),
        ('title = "x"', "missing required field `version`"),
        ('inherits = "us"\ntitle = "x"', "missing required field `version`"),
        ('inherits = "xx"\ntitle = "x"\nversion = "1"', "rule pack 'xx' is unknown"),
        ("quota = 3", "unknown field `quota`"),
        (HOURS, "hours never open"),
        (HOURS + 'monday = ["9-17"]', "hours '9-17' cannot be read: takes 08:00-21:00"),
        (HOURS + 'monday = ["09:00-24:30"]', "are not hours of one day"),
        (HOURS + 'monday = ["09:60-10:00"]', "are not hours of one day"),
        (HOURS + 'monday = ["17:00-09:00"]', "are not hours of one day"),
        (HOURS + 'monday = ["09:00-12:00", "11:00-13:00"]', "overlap with those before them"),
        (HOURS + 'holidays = "XX"\nmonday = ["09:00-12:00"]', "holidays 'XX' is unknown"),
        ('[[attempt_caps]]\ncount = 0\nwindow_h = 24\nscope = "number"\nstatute = "s"', "`int` >= 1"),
        (
            '[[attempt_caps]]\ncount = 3\nwindow_h = 24\nscope = "all"\nstatute = "s"',
            "Invalid enum value 'all'",
        ),
        ("[abandon_cooloff]\nhours = 72", "missing required field"),
        ('[min_gap]\nhours = 9000\nscope = "person"\nstatute = "s"', "`int` <= 8784"),
        ('inherits = ["us"]', "Expected `str`, got `array`"),
        ('adds_to = "us"\nregion = "US-KY"', "takes a file whose name begins with us-"),
        ('adds_to = "mi"\nregion = "US-KY"', "takes a file whose name begins with mi-"),
    ],
)
def test_a_pack_that_cannot_be_read_says_what_is_wrong(text: str, said: str) -> None:
    head = "" if "title" in text else 'title = "x"\nversion = "1"\n'
    with pytest.raises(CampaignError) as raised:
        read_pack("mine", head + text)
    assert str(raised.value).startswith("rule pack mine: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pack_is_one_of_the_names_and_never_a_path() -> None:
    with pytest.raises(CampaignError, match="is unknown"):
        load_pack("../packs/us")


@pytest.mark.parametrize("region", ['region = "Kentucky"', ""])
def test_a_state_pack_needs_the_code_of_its_state(region: str) -> None:
    with pytest.raises(CampaignError, match="takes an ISO 3166-2 code such as US-FL"):
        read_pack("us-ky", f'inherits = "us"\nadds_to = "us"\ntitle = "x"\nversion = "1"\n{region}')
