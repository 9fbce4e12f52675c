"""The command line: help, settings, calling rules, and exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamdialer.cli import app
from streamdialer.cli.common import escape_controls
from streamdialer.config.settings import NAMES
from streamdialer.simulation.embedded_redis import EmbeddedServer
from tests.support.cli import UNREACHABLE, Run, ok, read, refused

# ---- help, settings, errors ----


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if getattr(command, "commands", None):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield path


def all_commands() -> list[tuple[str, ...]]:
    import typer.main

    return sorted(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_commands_help_ends_with_an_example_of_itself(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    last = " ".join(shown.stdout.strip().rpartition("Example: ")[2].split())
    assert re.match(rf"streamdialer {' '.join(command)}\b", last)


def test_the_commands_are_all_there() -> None:
    assert {" ".join(command) for command in all_commands()} >= {
        *("consume", "tick", "dashboard", "run", "result", "emit", "config", "doctor"),
        *(f"campaign {verb}" for verb in ("list", "show", "start", "pause", "stop", "cleanup")),
        "contact show",
        *(f"dead {verb}" for verb in ("list", "show", "replay", "drop")),
        *(f"inspect {what}" for what in ("active", "stats", "registered", "streams", "consumers", "pending")),
        *("top", "purge", "explain", "outcomes"),
        *(f"rules {verb}" for verb in ("next", "show")),
    }


def test_it_prints_its_version(run: Run) -> None:
    assert ok(run("--version")).startswith("streamdialer 0")


ONE_SHOT = [
    ("run", "dial", "1"),
    ("run", "dial", "1", "--inline"),
    ("result", "1-0"),
    ("emit", "agent_available", "queue=sales"),
    ("campaign", "list"),
    ("campaign", "show", "1"),
    ("campaign", "start", "1"),
    ("campaign", "cleanup", "1"),
    ("contact", "show", "1", "2"),
    ("dead", "list"),
    ("dead", "replay", "--all"),
    ("dead", "drop", "1-0"),
    ("inspect", "active"),
    ("inspect", "stats"),
    ("inspect", "streams"),
    ("inspect", "consumers"),
    ("inspect", "pending"),
    ("purge", "ticks", "--yes"),
    ("top",),
    ("top", "--json"),
    ("tick", "--once"),
    ("tick",),
    ("consume",),
    ("consume", "--processes", "2"),
    ("dashboard",),
]


@pytest.mark.parametrize("command", ONE_SHOT, ids=" ".join)
def test_a_server_that_is_not_there_is_exit_code_3_in_one_line(run: Run, command: tuple[str, ...]) -> None:
    refused(
        run("--redis-url", UNREACHABLE, *command),
        3,
        UNREACHABLE,
        "cannot be reached",
        "; is REDIS_URL right?",
    )


@pytest.mark.parametrize("command", [*ONE_SHOT, ("doctor",)], ids=" ".join)
def test_no_server_exits_with_2(run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.delenv("REDIS_URL")
    refused(run(*command), 2, "REDIS_URL: not set")


def test_a_wrong_password_is_exit_code_3_and_never_printed(run: Run) -> None:
    with EmbeddedServer(password="right", tcp=True) as guarded:
        address = guarded.url.rpartition("@")[2]
        refused(run("--redis-url", f"redis://:wr0ng@{address}", "campaign", "list"), 3, "password")
        refused(run("--redis-url", f"redis://{address}", "campaign", "list"), 3, "password")
        assert "wr0ng" not in run("--redis-url", f"redis://:wr0ng@{address}", "campaign", "list").output
        assert read(run("--redis-url", guarded.url, "campaign", "list", "--json")) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("--redis-url", "nonsense", "campaign", "list"), ("REDIS_URL", "nonsense")),
        (("--log-level", "loud", "campaign", "list"), ("LOG_LEVEL", "loud", "DEBUG")),
        (("--log-format", "xml", "config"), ("LOG_FORMAT", "xml")),
        (("consume", "--stages", "ticks,cals"), ("--stages", "ticks,cals")),
        (("consume", "--stages", ","), ("--stages",)),
        (("consume", "--autoscale", "1,10"), ("--autoscale", "MAX,MIN")),
        (("consume", "--autoscale", "10"), ("--autoscale", "MAX,MIN")),
        (("consume", "--autoscale", "a,b"), ("--autoscale", "MAX,MIN")),
        (("consume", "--autoscale", "9,1", "--concurrency", "3"), ("--concurrency", "--autoscale")),
        (("consume", "--health-port", "65535", "--processes", "2"), ("--health-port", "65535")),
        (("tick", "--dial-every", "0"), ("STREAMDIALER_DIAL_INTERVAL_S", "0")),
        (("tick", "--json"), ("--once",)),
        (("run", "dail", "1"), ("dail", "dial, retry, stats, cleanup")),
        (("run", "dial", "a\tb"), ("campaign", r"a\tb")),
        (("run", "dial", "1", "--inline", "--wait", "1"), ("--inline", "--wait")),
        (("campaign", "start", ".."), ("campaign",)),
        (("campaign", "show", ""), ("campaign",)),
        (("emit",), ("TYPE",)),
        (("emit", "call_lost", "campaign_id=1"), ("call_lost", "call_answered")),
        (("emit", "call_answered", "campaign_id"), ("key=value", "campaign_id")),
        (("emit", "call_answered", "campaign_id=1"), ("call_answered", "contact_id")),
        (("emit", "call_answered", "campaign_id=1", "contact_id="), ("call_answered",)),
        (("emit", "call_answered", "--data", "{"), ("JSON",)),
        (("emit", "call_answered", "--data", "[]"), ("JSON object",)),
        (("emit", "call_answered", "a=1", "--data", "{}"), ("not both",)),
        (("emit", "call_answered", "--file", "x"), ("--file",)),
        (("emit", "--file", "no/such.ndjson"), ("no/such.ndjson",)),
        (("dead", "show", "x"), ("'x'",)),
        (("dead", "replay"), ("--all",)),
        (("dead", "replay", "1-0", "--all"), ("--all",)),
        (("dead", "drop", "--all"), ("--yes",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_value_exits_with_2_in_a_line(
    run: Run, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(run(*command), 2, *words)


@pytest.mark.parametrize(
    "command",
    [
        ("nonsense",),
        ("campaign", "nonsense"),
        ("consume", "--nonsense"),
        ("consume", "--concurrency", "0"),
        ("consume", "--processes", "many"),
        ("consume", "--health-port", "70000"),
        ("run", "dial"),
        ("run", "dial", "1", "--wait", "soon"),
        ("inspect", "pending", "--count", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("result", "1-0"), "no result"),
        (("campaign", "show", "7"), "no keys of this campaign"),
        (("campaign", "pause", "7"), "no keys of this campaign"),
        (("campaign", "stop", "7"), "no keys of this campaign"),
        (("campaign", "cleanup", "7"), "no keys of this campaign"),
        (("dead", "show", "1-0"), "no dead letter"),
        (("dead", "replay", "1-0"), "no dead letter"),
        (("run", "dial", "1", "--wait", "0.05"), "no result"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_done_exits_with_1_in_one_line(run: Run, command: tuple[str, ...], word: str) -> None:
    refused(run(*command), 1, word)
    refused(run(*command, "--json"), 1, word)


def test_an_unexpected_answer_of_redis_is_one_line(run: Run, db: Any) -> None:
    db.set("dialer:events", "somebody's")
    refused(run("emit", "agent_available", "queue=sales"), 1, "WRONGTYPE")
    refused(run("inspect", "streams"), 1, "WRONGTYPE")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert escape_controls("a\x1b[31mb\udce4\nÄ•") == "a\\x1b[31mb\\udce4\\nÄ•"


# ---- config ----


def test_config_shows_values_origins_and_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_TOKEN", "geheim")
    shown = ok(run("--log-level", "debug", "config"))
    assert "geheim" not in shown
    assert re.search(r"^LOG_LEVEL +DEBUG +option ", shown, re.MULTILINE)
    rows = {row["name"]: row for row in read(run("--log-level", "debug", "config", "--json"))}
    assert rows.keys() == set(NAMES.values())
    assert (rows["LOG_LEVEL"]["value"], rows["LOG_LEVEL"]["origin"]) == ("DEBUG", "option")
    assert (rows["BACKEND_TOKEN"]["value"], rows["BACKEND_TOKEN"]["origin"]) == ("****", "environment")


def test_config_needs_no_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    assert "REDIS_URL" in ok(run("config"))


# ---- rules ----


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--pack", "co", "--timezone", "America/Bogota", "--at", "2026-01-10T15:00"),
            "2026-01-13T07:00:00-05:00  not before: rule pack co 2026.1 (Ley 2300 de 2023, art. 3, not verified)",
        ),
        (
            ("--pack", "us-fl", "--timezone", "America/New_York", "--at", "2026-03-08T23:59:59.999Z"),
            "2026-03-08T19:59:59-04:00  now: rule pack us-fl",
        ),
        (
            ("--pack", "us-fl", "--timezone", "America/New_York", "--at", "2026-03-09T00:00:00Z"),
            "2026-03-09T08:00:00-04:00  not before: rule pack us-fl",
        ),
        (
            ("--pack", "us", "--region", "US-FL", "--at", "2026-03-09T00:30:00Z"),
            "2026-03-09T13:00:00+00:00  not before: rule pack us-fl",
        ),
        (
            ("--pack", "us", "--region", "US-NY", "--at", "2026-03-09T00:30:00Z"),
            "2026-03-09T00:30:00+00:00  now: rule pack us 2026.1",
        ),
        (("--pack", "none", "--at", "2026-03-08T12:00"), "2026-03-08T12:00:00+00:00  now: rule pack none"),
    ],
)
def test_rules_next_says_when_and_by_which_rule(run: Run, arguments: tuple[str, ...], text: str) -> None:
    assert ok(run("rules", "next", *arguments)).startswith(text)


def test_rules_next_as_json_says_until_when_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("STREAMDIALER_TIMEZONE", "Europe/Paris")
    answer = json.loads(ok(run("rules", "next", "--pack", "fr", "--at", "2026-03-27T21:00", "--json")))
    assert (answer["timezone"], answer["next"], answer["until"], answer["verified"]) == (
        "Europe/Paris",
        "2026-03-30T10:00:00+02:00",
        "2026-03-30T13:00:00+02:00",
        False,
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("next", "--pack", "xx"), "rule pack 'xx' is unknown: takes one of au, br-rj, ca"),
        (("show", "xx"), "rule pack 'xx' is unknown: takes one of au, br-rj, ca"),
        (("next", "--pack", "co", "--timezone", "UTC-5"), "takes an IANA name"),
        (("next", "--pack", "us", "--region", "Florida"), "region: got 'Florida', takes an ISO 3166-2 code"),
        (("next", "--pack", "co", "--at", "tomorrow"), "at: got 'tomorrow', takes ISO 8601"),
        (("next", "--pack", "co", "--at", "9999-12-31T00:00"), "takes ISO 8601"),
    ],
)
def test_rules_refuses_what_it_cannot_read(run: Run, arguments: tuple[str, ...], text: str) -> None:
    result = run("rules", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_rules_show_prints_every_value_with_its_statute(run: Run) -> None:
    shown = ok(run("rules", "show", "us-regf"))
    for line in (
        r"sunday +08:00-21:00 +12 CFR 1006\.6\(b\)\(1\)\(i\) +no",
        r"attempts +at most 7 in 168 h per subject +12 CFR 1006\.14\(b\)\(2\)\(i\)\(A\) +no",
        r"abandoned calls +at most 3% of calls answered by a person in 720 h .+ no",
        r"Not enforced here, your own duty: honour a revocation of consent within 10 business days",
    ):
        assert re.search(line, shown)
    assert re.search(
        r"cool-off after an abandoned call +72 h per person +our own limit.+ no",
        ok(run("rules", "show", "uk")),
    )
    assert re.search(
        r"registry dnc +asked at least every 31 days +47 CFR .+ no", ok(run("rules", "show", "us"))
    )
    assert re.search(r"public holidays +closed \(CO\)", ok(run("rules", "show", "co")))
    assert json.loads(ok(run("rules", "show", "uk", "--json")))["abandon_cooloff"]["hours"] == 72


def test_a_pack_of_your_own_is_read_and_what_is_wrong_is_said(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('inherits = "it"\ntitle = "Mine"\nversion = "1"\n[consent_required]\nstatute = "Act 1"\n')
    shown = ok(run("rules", "check", str(mine)))
    assert re.search(r"consent +required +Act 1 +no", shown)
    assert re.search(r"day before a holiday +10:00-19:00", shown)
    mine.write_text('title = "Mine"\nversion = "1"\n[hours]\nstatute = "s"\nmonday = ["9-17"]\n')
    result = run("rules", "check", str(mine))
    assert result.exit_code == 1
    assert "rule pack mine: hours '9-17' cannot be read: takes 08:00-21:00" in result.stderr


def test_an_unknown_rule_pack_ends_the_start_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMDIALER_RULE_PACK", "us-xx")
    result = run("consume")
    assert result.exit_code == 2
    assert "STREAMDIALER_RULE_PACK: got 'us-xx', takes one of au, br-rj, ca, cl, co" in result.stderr
