"""Settings: where they come from, which values are refused with which message, and what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamdialer.config.loading import describe, environment_of, load, require_redis
from streamdialer.config.settings import NAMES, Settings
from streamdialer.config.urls import REDIS_URL_FORMS
from streamdialer.errors import SettingsError
from streamdialer.rules.rule_pack import pack_names

ROOT = Path(__file__).parents[2]


def refusal(directory: Path, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, directory=directory)
    return str(caught.value)


# ---- where values come from ----


def test_defaults_need_nothing(tmp_path: Path) -> None:
    loaded = load(environ={}, directory=tmp_path)
    assert loaded.settings == Settings()
    assert set(loaded.origin) == set(Settings.__struct_fields__)
    assert set(loaded.origin.values()) == {"default"}


def test_option_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "STREAMDIALER_CONCURRENCY=1\nSTREAMDIALER_PAGE_SIZE=2\nSTREAMDIALER_DEAD_LETTERS_MAXLEN=3\nPATH=/elsewhere\n"
    )
    environ = {"STREAMDIALER_CONCURRENCY": "11", "STREAMDIALER_PAGE_SIZE": "12"}
    loaded = load({"concurrency": 21, "shutdown_timeout_s": None}, environ=environ, directory=tmp_path)
    settings = loaded.settings
    assert (
        settings.concurrency,
        settings.page_size,
        settings.dead_letters_maxlen,
        settings.shutdown_timeout_s,
    ) == (21, 12, 3, 8.0)
    origins = [
        loaded.origin[name]
        for name in ("concurrency", "page_size", "dead_letters_maxlen", "shutdown_timeout_s")
    ]
    assert origins == ["option", "environment", ".env", "default"]


def test_environment_and_directory_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("BACKEND_URL=http://from-file:1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALER_API_URL", "http://from-environment:2")
    settings = load().settings
    assert (settings.backend_url, settings.dialer_api_url) == (
        "http://from-file:1",
        "http://from-environment:2",
    )


def test_empty_counts_as_unset(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\nSTREAMDIALER_TIMEZONE\nREDIS_URL=\n")
    environ = {"LOG_LEVEL": "", "BACKEND_URL": "  "}
    loaded = load({"log_level": ""}, environ=environ, directory=tmp_path)
    assert loaded.settings == Settings(log_level="DEBUG")
    assert loaded.origin["log_level"] == ".env"
    assert loaded.origin["backend_url"] == "default"


def test_the_file_is_taken_literally(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BACKEND_TOKEN='a$b${HOME}'\n")
    assert load(environ={}, directory=tmp_path).settings.backend_token == "a$b${HOME}"


def test_values_are_read_kindly(tmp_path: Path) -> None:
    environ = {"LOG_LEVEL": "debug", "STREAMDIALER_RING_TIMEOUT_S": " 25 ", "REDIS_URL": "redis://r:6379/0\n"}
    settings = load(environ=environ, directory=tmp_path).settings
    assert (settings.log_level, settings.ring_timeout_s, settings.redis_url) == (
        "DEBUG",
        25.0,
        "redis://r:6379/0",
    )


# ---- what is refused, in one line ----

_HTTP = "http://host:port or https://host:port"


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("STREAMDIALER_CONCURRENCY", "many", "an integer of at least 1"),
        ("STREAMDIALER_CONCURRENCY", "0", "an integer of at least 1"),
        ("STREAMDIALER_CONCURRENCY", "1.5", "an integer of at least 1"),
        ("STREAMDIALER_PAGE_SIZE", "501", "an integer of at least 1 and at most 500"),
        ("STREAMDIALER_SCAN_KEYS_PER_S", "0", "an integer of at least 1"),
        ("STREAMDIALER_RING_TIMEOUT_S", "0", "a number of seconds above 0"),
        ("STREAMDIALER_RING_TIMEOUT_S", "30s", "a number of seconds above 0"),
        ("STREAMDIALER_RING_TIMEOUT_S", "inf", "a number of seconds above 0"),
        ("STREAMDIALER_RING_TIMEOUT_S", "nan", "a number of seconds above 0"),
        ("STREAMDIALER_READ_BLOCK_S", "3", "a number of seconds above 0 and at most 2"),
        ("LOG_LEVEL", "loud", "one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FORMAT", "xml", "one of auto, text, json"),
        ("STREAMDIALER_EVENTS", "none", "one of required, optional"),
        ("STREAMDIALER_PACING", "clever", "one of fixed, adaptive"),
        ("STREAMDIALER_COUNTRY", "Colombia", "an ISO 3166 code of two letters such as CO"),
        ("STREAMDIALER_TIMEZONE", "UTC-5", "an IANA time zone such as America/Bogota"),
        ("STREAMDIALER_RULE_PACK", "us-xx", f"one of {', '.join(pack_names())}"),
        ("STREAMDIALER_TIMEZONE", "Factory", "an IANA time zone such as America/Bogota"),
        ("STREAMDIALER_TIMEZONE", "America", "an IANA time zone such as America/Bogota"),
        ("STREAMDIALER_BACKEND_LOGIN_PATH", "api/token/", "a path that begins with /"),
        ("BACKEND_URL", "django:8000", _HTTP),
        ("BACKEND_URL", "ftp://django", _HTTP),
        ("BACKEND_URL", "http://", _HTTP),
        ("BACKEND_URL", "http://:8000", _HTTP),
        ("BACKEND_URL", "http://django:0", _HTTP),
        ("BACKEND_URL", "http://django:99999", _HTTP),
        ("DIALER_API_URL", "http://dialer api", _HTTP),
        ("REDIS_URL", "localhost:6379", REDIS_URL_FORMS),
        ("REDIS_URL", "redis://r/zero", "redis://host:port/db (the database is no number)"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_takes(tmp_path: Path, name: str, value: str, takes: str) -> None:
    assert refusal(tmp_path, **{name: value}) == f"{name}: got {value!r}, takes {takes}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:secret@localhost:6379/0?protocol=3",
        "rediss://user:p%2Fw%3Frd@redis.example.com:6380/1",
        "redis://[::1]:6379",
        "unix:///run/redis.sock?db=1",
        "unix://user:secret@/run/redis.sock",
        "redis+sentinel://a:26379,b:26379/service",
        "redis+cluster://user:secret@a:7000,b:7001",
    ],
)
def test_every_kind_of_redis_is_taken(tmp_path: Path, url: str) -> None:
    assert load(environ={"REDIS_URL": url}, directory=tmp_path).settings.redis_url == url


@pytest.mark.parametrize(("text", "value"), [("true", True), ("FALSE", False), ("1", True)])
def test_a_yes_or_no_setting_takes_the_usual_words(tmp_path: Path, text: str, value: bool) -> None:
    environ = {"STREAMDIALER_DIALER_API_IDEMPOTENT": text}
    assert load(environ=environ, directory=tmp_path).settings.dialer_api_idempotent is value


def test_a_yes_or_no_setting_says_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="takes true or false"):
        load(environ={"STREAMDIALER_DIALER_API_IDEMPOTENT": "perhaps"}, directory=tmp_path)


def test_a_wrong_value_of_the_file_says_so(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STREAMDIALER_CONCURRENCY=many\n")
    assert (
        refusal(tmp_path) == "STREAMDIALER_CONCURRENCY: got 'many' from .env, takes an integer of at least 1"
    )


def test_a_wrong_option_is_named_as_its_setting() -> None:
    with pytest.raises(
        SettingsError, match="STREAMDIALER_CONCURRENCY: got '0', takes an integer of at least 1"
    ):
        load({"concurrency": 0}, environ={})


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"LOG_LEVEL=\xff\xfe\n")
    assert re.fullmatch(r".*\.env: cannot be read .*", refusal(tmp_path))


def test_an_unknown_name_is_refused_with_the_closest_known_one(tmp_path: Path) -> None:
    assert refusal(tmp_path, STREAMDIALER_RESERVATION_LEASES="4") == (
        "STREAMDIALER_RESERVATION_LEASES: no such setting (from the environment); "
        "did you mean STREAMDIALER_RESERVATION_LEASE_S?"
    )
    (tmp_path / ".env").write_text("STREAMDIALER_XQZ=1\n")
    assert refusal(tmp_path) == (
        "STREAMDIALER_XQZ: no such setting (from .env); `streamdialer config` lists them all"
    )


@pytest.mark.parametrize(
    ("tail", "value"),
    [
        ("DASHBOARD_SERVICE_HOST", "10.0.0.7"),
        ("DASHBOARD_SERVICE_PORT", "5555"),
        ("DASHBOARD_SERVICE_PORT_HTTP", "5555"),
        ("DASHBOARD_PORT", "tcp://10.0.0.7:5555"),
        ("DASHBOARD_PORT_5555_TCP", "tcp://10.0.0.7:5555"),
        ("DASHBOARD_PORT_5555_TCP_ADDR", "10.0.0.7"),
    ],
)
def test_variables_of_kubernetes_services_are_no_settings(tmp_path: Path, tail: str, value: str) -> None:
    load(environ={f"STREAMDIALER_{tail}": value}, directory=tmp_path)
    assert "no such setting" in refusal(tmp_path, STREAMDIALER_DASHBOARD_PORT="5555")


def test_a_secret_may_be_in_a_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2-hunter2-hunter2\n")
    (tmp_path / ".env").write_text("DIALER_API_TOKEN=of-the-file-in-the-folder\n")
    names = {
        "DIALER_API_TOKEN_FILE": "dialer_api_token",
        "STREAMDIALER_DASHBOARD_TOKEN_FILE": "dashboard_token",
    }
    loaded = load(environ=dict.fromkeys(names, str(tmp_path / "secret")), directory=tmp_path)
    for field in names.values():
        assert getattr(loaded.settings, field) == "hunter2-hunter2-hunter2"
        assert loaded.origin[field] == "environment"


def test_a_child_process_gets_the_value_that_its_parent_had_whatever_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://of-the-file")
    inherited = {"REDIS_URL_FILE": str(tmp_path / "url")}
    for_child = environment_of({"redis_url": "redis://of-the-option", "concurrency": 7})
    settings = load(environ=inherited | for_child, directory=tmp_path).settings
    assert (settings.redis_url, settings.concurrency) == ("redis://of-the-option", 7)


def test_a_file_of_a_secret_is_named_when_it_cannot_be_read_or_is_one_too_many(tmp_path: Path) -> None:
    missing = refusal(tmp_path, BACKEND_TOKEN_FILE=str(tmp_path / "none"))
    assert re.fullmatch(r"BACKEND_TOKEN_FILE: .*none cannot be read .*; takes a file in UTF-8", missing)
    both = refusal(tmp_path, BACKEND_TOKEN_FILE=str(tmp_path), BACKEND_TOKEN="x" * 20)
    assert both == "BACKEND_TOKEN_FILE: BACKEND_TOKEN is set, too; takes only one of them"
    assert "no such setting" in refusal(tmp_path, STREAMDIALER_CONCURRENCY_FILE=str(tmp_path))


def test_a_log_in_needs_both_halves(tmp_path: Path) -> None:
    user = refusal(tmp_path, BACKEND_USERNAME="dialer")
    assert user == "BACKEND_PASSWORD: not set although BACKEND_USERNAME is; takes both or neither"
    password = refusal(tmp_path, BACKEND_PASSWORD="hunter2")
    assert password == "BACKEND_USERNAME: not set although BACKEND_PASSWORD is; takes both or neither"
    load(environ={"BACKEND_USERNAME": "dialer", "BACKEND_PASSWORD": "hunter2"}, directory=tmp_path)


def test_a_read_must_end_before_its_entries_are_taken_over(tmp_path: Path) -> None:
    text = refusal(tmp_path, STREAMDIALER_READ_BLOCK_S="2", STREAMDIALER_CLAIM_MIN_IDLE_S="2")
    assert text == "STREAMDIALER_READ_BLOCK_S: got 2, takes less than STREAMDIALER_CLAIM_MIN_IDLE_S (2)"


def test_an_option_that_is_no_setting_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="colour"):
        load({"colour": "red"}, environ={})


def test_redis_is_asked_for_where_it_is_needed() -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_URL: not set; takes redis://host:port/db"):
        require_redis(Settings())
    require_redis(Settings(redis_url="redis://r"))


# ---- what is shown ----


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:hunter2@localhost", "redis://:****@localhost"),
        ("rediss://user:hun%2Fte@r2@localhost", "rediss://user:****@localhost"),
        ("redis://hunter2@localhost", "redis://****@localhost"),
        ("unix:///run/redis.sock?db=1&password=hunter2", "unix:///run/redis.sock?db=1&password=****"),
        ("redis://localhost?password=hun%40ter2&db=1", "redis://localhost?password=****&db=1"),
    ],
)
def test_passwords_inside_urls_are_masked(tmp_path: Path, url: str, shown: str) -> None:
    loaded = load(environ={"REDIS_URL": url}, directory=tmp_path)
    (row,) = (row for row in describe(loaded) if row.name == "REDIS_URL")
    assert row.value == shown


def test_no_secret_is_shown_in_a_row_or_a_refusal(tmp_path: Path) -> None:
    environ = {
        "BACKEND_TOKEN": "hunter2",
        "BACKEND_USERNAME": "dialer",
        "BACKEND_PASSWORD": "hunter2",
        "DIALER_API_TOKEN": "hunter2",
        "BACKEND_URL": "http://dialer:hunter2@django:8000",
    }
    rows = describe(load(environ=environ, directory=tmp_path))
    assert not [row for row in rows if "hunter2" in row.value]
    assert {row.name: row.value for row in rows}["BACKEND_TOKEN"] == "****"
    assert "hunter2" not in refusal(tmp_path, REDIS_URL="user:hunter2@localhost")
    assert "hunter2" not in refusal(tmp_path, BACKEND_URL="https//:hunter2@django")


@pytest.mark.parametrize("name", ["BACKEND_TOKEN", "DIALER_API_TOKEN"])
@pytest.mark.parametrize("between", ["\n", "\r", "\0", "\x1b", "\x7f", "\udcff", "\u2028"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(
    tmp_path: Path, name: str, between: str
) -> None:
    refused = refusal(tmp_path, **{name: f"hunter2{between}hunter2"})
    assert refused == f"{name}: got '****', takes one line of printable characters"
    (tmp_path / "token").write_text("hunter2\nhunter2\n")
    refused = refusal(tmp_path, **{f"{name}_FILE": str(tmp_path / "token")})
    assert refused == f"{name}: got '****', takes one line of printable characters"


def test_each_setting_has_a_row_with_its_origin_default_and_description(tmp_path: Path) -> None:
    loaded = load({"shutdown_timeout_s": 2.5}, environ={}, directory=tmp_path)
    rows = {row.name: row for row in describe(loaded)}
    assert list(rows) == list(NAMES.values())
    grace = rows["STREAMDIALER_SHUTDOWN_TIMEOUT_S"]
    assert (grace.value, grace.origin, grace.default) == ("2.5", "option", "8")
    assert all(row.description for row in rows.values())


def test_the_example_file_lists_every_setting_and_works_as_is(tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    entries = re.findall(r"^# (.+)\n(#?)([A-Z_]+)=(.*)$", example, flags=re.MULTILINE)
    rows = describe(load(environ={}, directory=tmp_path))
    assert [(name, text) for text, _, name, _ in entries] == [(row.name, row.description) for row in rows]
    for row, (_, hidden, name, value) in zip(rows, entries, strict=True):
        assert value == row.default or (name == "REDIS_URL" and not hidden)

    (tmp_path / ".env").write_text(example, encoding="utf-8")
    loaded = load(environ={}, directory=tmp_path)
    require_redis(loaded.settings)
    needed = {name for name, origin in loaded.origin.items() if origin == ".env"}
    assert needed == {"redis_url", "backend_url", "dialer_api_url"}
