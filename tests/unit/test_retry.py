"""What a campaign's retry settings become: causes, rules, plans, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streamdialer.errors import CampaignError
from streamdialer.ledger.event_facts import CallFact, fact_of
from streamdialer.model import CallEvent, CampaignSettings
from streamdialer.rules.hangup_causes import cause_of
from streamdialer.rules.retry import RetryPlan, Rule, retry_plan


def plan(rules: dict[str, Any] | None = None, retry_delay: float = 300, max_retries: int = 3) -> RetryPlan:
    return retry_plan(
        CampaignSettings(queue_name="q", retry_delay=retry_delay, max_retries=max_retries, retry_rules=rules)
    )


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        ("17", "q850:17"),
        ("486", "sip:486"),
        (" 16 Normal Clearing", "q850:16"),
        ("SIP/2.0 486 Busy Here", "sip:486"),
        ("SIP;cause=480;text=away", "sip:480"),
        ("Q.850;cause=34", "q850:34"),
        ("q850:1", "q850:1"),
        ("sip 503", "sip:503"),
        ("", ""),
        ("0", ""),
        ("200", ""),
        ("sip:17", ""),
        ("q850:486", ""),
        ("1234", ""),
        ("USER_BUSY", "q850:17"),
        ("User alerting, no answer", "q850:19"),
        ("Busy Here", "sip:486"),
        ("nonsense", ""),
        ("SIP/2.0", ""),
    ],
)
def test_a_cause_is_read_as_producers_write_it(raw: str, cause: str) -> None:
    assert cause_of(raw) == cause


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ({"cause": "17"}, CallFact("x", "busy", "q850:17")),
        ({"cause": "1"}, CallFact("x", "invalid", "q850:1")),
        ({"cause": "410"}, CallFact("x", "invalid", "sip:410")),
        ({"cause": "480"}, CallFact("x", "no_answer", "sip:480")),
        ({"disposition": "failed", "cause": "503"}, CallFact("x", "congestion", "sip:503")),
        ({"disposition": "CONGESTION"}, CallFact("x", "congestion")),
        ({"disposition": "no_answer", "cause": "34"}, CallFact("x", "no_answer", "q850:34")),
        ({"cause": "16"}, CallFact("x", "failed", "q850:16")),
        ({"cause": "nonsense"}, CallFact("x", "failed")),
        ({"disposition": "abandoned", "cause": "17"}, CallFact("b")),
        ({"disposition": "USER_BUSY"}, CallFact("x", "busy", "q850:17")),
        ({"disposition": "486"}, CallFact("x", "busy", "sip:486")),
        ({"disposition": "CANCEL"}, CallFact("x", "no_answer")),
        ({"disposition": "canceled"}, CallFact("x", "cancelled")),
        ({"disposition": "cancelled", "cause": "16"}, CallFact("x", "cancelled")),
        ({"disposition": "CHANUNAVAIL", "cause": "1"}, CallFact("x", "invalid", "q850:1")),
        ({"disposition": "CALL_REJECTED"}, CallFact("x", "failed", "q850:21")),
        ({"disposition": "machine_start"}, CallFact("x", "machine")),
        ({"cause": "no-answer"}, CallFact("x", "no_answer")),
        ({"cause": "UNALLOCATED_NUMBER"}, CallFact("x", "invalid", "q850:1")),
        ({"cause": "ORIGINATOR_CANCEL"}, CallFact("x", "no_answer", "sip:487")),
        ({"cause": "completed"}, CallFact("x", "failed")),
    ],
)
def test_a_cause_says_what_a_bare_failure_leaves_open(said: dict[str, str], fact: CallFact) -> None:
    assert fact_of(CallEvent(type="call_failed", campaign_id="1", contact_id="1", **said)) == fact  # type: ignore[arg-type]


def test_a_plain_campaign_tries_again_as_its_two_settings_say() -> None:
    got = plan(retry_delay=60)
    assert got.max_attempts == 3
    assert {kind: got.rules[kind] for kind in ("no_answer", "busy", "failed")} == dict.fromkeys(
        ("no_answer", "busy", "failed"), Rule(delay_ms=60_000)
    )
    congestion = got.rules["congestion"]
    assert congestion.is_uncounted
    assert [congestion.delay_after(nth) for nth in (1, 2, 7, 1000)] == [60_000, 120_000, 3_600_000, 3_600_000]
    assert set(got.rules) == {"no_answer", "busy", "failed", "congestion", "cancelled"}, (
        "everything else is final"
    )


def test_rules_change_what_they_name_and_nothing_else() -> None:
    got = plan(
        {
            "busy": {"delay": 30, "limit": 2, "schedule": "exponential", "factor": 3, "longest_delay": 100},
            "machine": {"delay": 7200, "jitter": 0.5},
            "failed": {"final": True},
            "sip:486": {"delay": 45},
            "q850:34": {"delay": 10},
            "q850:21": {"delay": 20},
        }
    )
    busy = Rule(delay_ms=30_000, factor=3.0, longest_ms=100_000, limit=2)
    assert got.rules["busy"] == busy
    assert [busy.delay_after(nth) for nth in (1, 2, 3)] == [30_000, 90_000, 100_000]
    assert got.rules["sip:486"] == msgspec.structs.replace(busy, delay_ms=45_000), (
        "the rest is that of its kind"
    )
    assert got.rules["q850:34"].is_uncounted
    assert got.rules["q850:21"] == Rule(delay_ms=20_000), "named, so it is not final as its kind is"
    assert got.rules["machine"] == Rule(delay_ms=7_200_000, jitter=0.5)
    assert got.rules["failed"].is_final
    assert got.rules["no_answer"] == Rule(delay_ms=300_000)


def test_the_minimum_gap_holds_for_every_rule() -> None:
    got = plan({"minimum_gap": 600, "machine": {"delay": 3600}})
    assert {kind: rule.delay_ms for kind, rule in got.rules.items()} == {
        "no_answer": 600_000,
        "busy": 600_000,
        "failed": 600_000,
        "congestion": 600_000,
        "cancelled": 600_000,
        "machine": 3_600_000,
    }


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"bussy": {}}, "'bussy' is unknown, takes no_answer, busy"),
        ({"486": {}}, "'486' is unknown"),
        ({"sip:99": {}}, "'sip:99' is unknown"),
        ({"completed": {"delay": 5}}, "'completed' is unknown"),
        ({"busy": 60}, "busy is 60"),
        ({"busy": {"delay": "60"}}, "busy is .*delay"),
        ({"busy": {"delay": -1}}, "busy is .*delay"),
        ({"busy": {"delay": 1e12}}, "busy is .*delay"),
        ({"busy": {"dealy": 60}}, "busy is .*dealy"),
        ({"busy": {"limit": 0}}, "busy is .*limit"),
        ({"busy": {"schedule": "random"}}, "busy is .*random"),
        ({"busy": {"factor": 0.5}}, "busy is .*factor"),
        ({"busy": {"jitter": 2}}, "busy is .*jitter"),
        ({"busy": {"final": True, "delay": 60}}, "busy is final"),
        ({"busy": {"schedule": "fixed", "factor": 2}}, "busy is fixed"),
        ({"busy": {"delay": 60, "longest_delay": 30}}, "longest_delay 30 below its delay 60"),
        ({"sip:486": {}, "sip: 486": {}}, "repeats sip:486, takes each cause once"),
        ({"minimum_gap": -1}, "minimum_gap is -1"),
        ({"uncounted_in_a_row": 1000}, "uncounted_in_a_row is 1000"),
        ({"uncounted_in_a_row": True}, "uncounted_in_a_row is True"),
    ],
)
def test_rules_that_cannot_be_read_are_refused_by_name(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(CampaignError, match=f"retry_rules: .*{said}"):
        plan(rules)


def test_a_retry_delay_beyond_a_year_is_refused() -> None:
    with pytest.raises(CampaignError, match="retry_delay is 1e\\+12, takes at most 31536000 seconds"):
        retry_plan(CampaignSettings(queue_name="q", retry_delay=1e12))


def test_of_those_only_the_backend_knows_none_is_called_when_in_doubt() -> None:
    got = plan({"busy": {"limit": 2, "delay": 100}, "no_answer": {"final": True}})
    assert got.delay_of("busy", 1) == 100_000, "its own delay is longer than the list knows"
    assert got.delay_of("busy", 2) is None, "both may have been busy"
    assert got.delay_of("no_answer", 1) is None
    assert got.delay_of("completed", 1) is None
