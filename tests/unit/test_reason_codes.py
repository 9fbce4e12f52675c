"""Every code of a decision record has a text: the codes are read from the scripts and stages themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from streamdialer.consumers.dialing.reasons import LIMITS, REASONS, SKIPPED
from streamdialer.consumers.dialing.record import _REASON_BY_OUTDATED
from streamdialer.gateways.originator import Originator
from streamdialer.observability.metrics import PAUSES
from streamdialer.pacing.adaptive import Bound
from streamdialer.pacing.decide import Limit
from streamdialer.rules.caps import CapReason

ROOT = Path(__file__).parents[2]


def codes_in_scripts(pattern: str, *names: str) -> set[str]:
    folder = ROOT / "streamdialer" / "ledger" / "lua"
    text = "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in names)
    return set(re.findall(pattern, text))


def test_every_reason_in_the_code_has_words() -> None:
    gate = codes_in_scripts(r"closed = '(\w+)'", "lib/campaign_gate")
    gate |= codes_in_scripts(r"'(data_loss|server_unknown)'", "lib/data_loss")
    ends = codes_in_scripts(r"'(_credentials|_down)'", "settle_originate")
    holds = {f"{originator.service}{end}" for originator in get_args(Originator) for end in ends}
    claim = codes_in_scripts(r"refuse\('(\w+)'\)", "reserve_contacts")
    folder = ROOT / "streamdialer/consumers/dialing"
    python = "\n".join((folder / name).read_text("utf-8") for name in ("dial_tick.py", "record.py"))
    dialing = set(re.findall(r'REASONS\["(\w+)"\]', python)) | set(re.findall(r'"error", "(\w+)"', python))
    dialing |= set(re.findall(r'(?:return|code =) "(\w+)"', python)) | set(_REASON_BY_OUTDATED.values())
    servers = {f"backend_{what}" for what in re.findall(r'server}_(\w+)"', python)}
    assert holds == set(PAUSES)
    found = gate | holds | claim | dialing | servers
    assert {"data_loss", "no_call_events", "queue_changed", "invalid_campaign", "backend_refused"} <= found
    assert found | {"not_active", "no_decisions", "redis_refuses_writes"} == set(REASONS)


def test_every_limit_in_the_code_has_words() -> None:
    found = codes_in_scripts(r"at_most\([^\n]*'(\w+)'\)", "reserve_contacts")
    found |= codes_in_scripts(r"end_with\('(\w+)'\)", "reserve_contacts")
    found |= codes_in_scripts(r"and '(\w+)' or 'no_contacts'", "reserve_contacts") | {
        *get_args(Limit),
        *get_args(Bound),
    }
    assert {"trunk_channels", "hours", "needs_verification", "agents_shared", "risk"} <= found
    assert found == set(LIMITS)


def test_every_reason_for_passing_a_contact_over_has_words() -> None:
    found = codes_in_scripts(r"reason = '(\w+)'", "lib/eligibility", "lib/hours")
    found |= codes_in_scripts(r"problem = '(\w+)'", "lib/hours") | codes_in_scripts(
        r"skipped\.(\w+) =", "reserve_contacts"
    )
    found |= set(get_args(CapReason))
    python = (ROOT / "streamdialer/consumers/dialing/refill.py").read_text("utf-8")
    found |= set(re.findall(r'"(\w+)": self\.', python))
    found |= codes_in_scripts(r"reason = .*'(\w+)'", "load_contacts")
    assert found == set(SKIPPED)
