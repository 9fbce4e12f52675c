"""The demo as a user runs it: processes, kills and all; and the contact audit that judges it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import httpx
import msgspec
import pytest

from streamdialer.config.settings import NAMES
from streamdialer.simulation.demo import DemoOptions, Summary
from streamdialer.simulation.demo.contact_audit import LedgerContacts, audit_contacts
from streamdialer.simulation.demo.options import child_environment
from streamdialer.simulation.demo.reaction_time import ReactionTimes
from streamdialer.simulation.world.entities import Contact
from tests.support.eventually import wait_until
from tests.support.process import is_alive

TINY = ["--contacts", "60", "--agents", "10", "--speed", "60", "--json"]
SMALL = [*TINY, "--seconds", "20", "--no-dashboard"]
DASHBOARD = ("127.0.0.1", 5555)
ENOUGH_S = 60


def start_demo(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamdialer", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )


def summary_of(demo: subprocess.Popen[bytes]) -> Summary:
    """Standard output is one JSON document and nothing else, and nothing went wrong."""
    output, errors = demo.communicate(timeout=ENOUGH_S)
    assert demo.returncode == 0, (output, errors.decode())
    summary = msgspec.json.decode(output, type=Summary)
    assert summary.problems == []
    assert summary.findings == []
    assert (summary.double_dials, summary.lost, summary.dialed_after_final) == (0, 0, 0)
    accounted = (
        summary.contacts_final + summary.contacts_not_loaded + sum(summary.contacts_in_ledger.values())
    )
    assert accounted == summary.contacts == sum(summary.contacts_by_status.values())
    return summary


def read_until(output: IO[bytes], wanted: bytes) -> None:
    for line in output:
        if wanted in line:
            return
    raise AssertionError(f"{wanted!r} never came")


def children_of(demo: subprocess.Popen[bytes]) -> list[int]:
    found = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
    assert len(found) >= 3  # a producer and two replicas
    return [int(pid) for pid in found]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_a_demo_calls_everybody_and_says_so_in_json() -> None:
    surroundings = {"REDIS_URL": "redis://127.0.0.1:9", "STREAMDIALER_NO_SUCH_SETTING": "1"}
    summary = summary_of(start_demo(*SMALL, environ=surroundings))
    assert summary.ended in ("all contacts final", "time over")
    assert summary.calls_placed >= 60
    assert summary.answered > 0
    assert summary.reaction_samples > 0
    assert summary.logs is None


def test_killed_replicas_lose_no_contact_and_call_none_twice() -> None:
    summary = summary_of(start_demo(*SMALL, "--kill-every", "2", "--seconds", "9", "--seed", "3"))
    assert summary.replicas_killed >= 3


@on_linux
def test_ctrl_c_ends_a_demo_with_a_summary_and_without_its_processes() -> None:
    demo = start_demo(*SMALL)
    assert demo.stderr is not None
    read_until(demo.stderr, b"60 contacts final")
    children = children_of(demo)
    demo.send_signal(signal.SIGINT)
    assert summary_of(demo).ended == "interrupted"
    assert not any(is_alive(pid) for pid in children)


@on_linux
def test_no_process_outlives_a_killed_demo() -> None:
    with tempfile.TemporaryDirectory() as left_behind:
        demo = start_demo(*SMALL, environ={"TMPDIR": left_behind})
        assert demo.stderr is not None
        read_until(demo.stderr, b"60 contacts final")
        children = children_of(demo)
        demo.kill()
        demo.communicate()
        wait_until(lambda: not any(is_alive(pid) for pid in children))


def test_preview_is_refused_with_the_reason() -> None:
    demo = start_demo("--mode", "preview")
    output, errors = demo.communicate(timeout=ENOUGH_S)
    assert (demo.returncode, output) == (2, b"")
    assert b"--mode: got 'preview', takes one of progressive, predictive, power" in errors


def test_children_see_no_setting_of_the_user() -> None:
    surroundings = {"PATH": "/bin", "BACKEND_TOKEN": "secret", "STREAMDIALER_ANYTHING": "x"}
    environment = child_environment(DemoOptions(), {"redis_url": "unix:///s"}, surroundings)
    assert environment["PATH"] == "/bin"
    assert environment["REDIS_URL"] == "unix:///s"
    assert "BACKEND_TOKEN" not in environment
    assert {name for name in environment if name.startswith("STREAMDIALER_")} <= set(NAMES.values())


def test_times_of_the_telephone_world_are_scaled_and_the_uncertain_margin_is_not() -> None:
    environment = child_environment(DemoOptions(speed=60), {}, {})
    assert float(environment["STREAMDIALER_RING_TIMEOUT_S"]) == 0.5
    assert float(environment["STREAMDIALER_DIAL_INTERVAL_S"]) == 0.25  # and not a sixth of a second
    assert float(environment["STREAMDIALER_UNCERTAIN_MARGIN_S"]) >= 5


NOWHERE = LedgerContacts(
    states={}, recorded=frozenset(), dialing=frozenset(), to_be_updated=frozenset(), never_updated=frozenset()
)


def ledger(*states: str, to_be_updated: bool = False, never_updated: bool = False) -> LedgerContacts:
    """The ledger of contact 1."""
    return LedgerContacts(
        states={"1": states} if states else {},
        recorded=frozenset({"1"}),
        dialing=frozenset(),
        to_be_updated=frozenset({"1"} if to_be_updated else ()),
        never_updated=frozenset({"1"} if never_updated else ()),
    )


@pytest.mark.parametrize(
    ("status", "attempts", "view", "lost"),
    [
        ("completed", 1, ledger("final"), False),
        ("no_answer", 3, ledger("final"), False),
        ("dialing", 1, ledger("final"), True),
        ("dialing", 1, ledger("final", to_be_updated=True), False),
        ("dialing", 1, ledger("final", never_updated=True), True),
        ("pending", 1, ledger("deferred", never_updated=True), True),
        ("dialing", 1, ledger("dialing"), False),
        ("dialing", 1, ledger("dialing", "ready"), True),
        ("pending", 0, ledger(), True),
        ("pending", 0, NOWHERE, False),
        ("dialing", 1, NOWHERE, True),
        ("answered", 1, NOWHERE, True),
        ("completed", 1, NOWHERE, False),
    ],
)
def test_a_contact_is_lost_when_nothing_would_ever_move_it_again(
    status: str, attempts: int, view: LedgerContacts, lost: bool
) -> None:
    contact = Contact(id=1, campaign_id=1, phone_number="+15550000001", status=status, attempts=attempts)
    assert len(audit_contacts([contact], {"1": view}).lost) == lost


def test_a_reaction_counts_only_while_contacts_were_ready() -> None:
    times = ReactionTimes(speed=10)
    times.add(
        [0.1], ready=5, now_s=100.0
    )  # freed before the first snapshot: what was ready then is not known
    times.add([0.1], ready=5, now_s=100.5)
    assert times.ms == [10.0]
    times.add([], ready=0, now_s=101.0)
    times.add([], ready=5, now_s=101.5)
    times.add([8.0], ready=5, now_s=102.0)  # freed 0.8 s ago, when none was ready
    times.add([0.2], ready=5, now_s=102.5)
    assert times.ms == [10.0, 20.0]
    assert times.percentile_ms(0.95) == 20.0


def test_without_any_reaction_there_is_no_percentile() -> None:
    assert ReactionTimes(speed=1).percentile_ms(0.5) is None


def test_it_starts_the_dashboard_where_it_can_and_goes_on_where_it_cannot() -> None:
    with socket.create_server(DASHBOARD):
        demo = start_demo(*TINY, "--seconds", "3")
        errors = demo.communicate(timeout=ENOUGH_S)[1]
        assert demo.returncode == 0, errors
        assert [line[:47] for line in errors.splitlines() if b"ashboard" in line] == [
            b"Without a dashboard: cannot listen at port 5555"
        ]
    demo = start_demo("--contacts", "2000", "--agents", "10", "--speed", "20", "--json")
    try:
        wait_until(lambda: answers("/live") == 200, within_s=ENOUGH_S)
        wait_until(lambda: "Campaign 1 is dialed" in httpx.get(at("/")).text, within_s=ENOUGH_S)
    finally:
        demo.send_signal(signal.SIGINT)
    assert summary_of(demo).ended == "interrupted"
    assert answers("/live") is None


def at(path: str) -> str:
    return "http://{}:{}{}".format(*DASHBOARD, path)


def answers(path: str) -> int | None:
    try:
        return httpx.get(at(path)).status_code
    except httpx.TransportError:
        return None
