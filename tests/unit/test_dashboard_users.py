"""Who may log in, as the settings say it."""

from __future__ import annotations

import pytest

from streamdialer.config.dashboard_users import Login
from streamdialer.config.loading import describe, load
from streamdialer.dashboard.sessions import Sessions
from streamdialer.errors import SettingsError


@pytest.mark.parametrize(
    ("users", "wrong"),
    [
        ("admin:anna:long enough", "entry 1: the role is operator or viewer"),
        ("operator:an na:long enough", "entry 1: the name is 1–64 letters"),
        ("operator:anna:long enough,viewer:anna:long enough", "entry 2: each name stands once"),
        ("operator:anna:short", "entry 1: the password has at least 8 characters"),
        ("operator:anna", "entry 1: the password has at least 8 characters"),
        (",", "role:name:password"),
    ],
)
def test_wrong_users_are_refused_without_saying_a_password(users: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(environ={"STREAMDIALER_DASHBOARD_USERS": users})
    assert str(refusal.value).startswith("STREAMDIALER_DASHBOARD_USERS: got '****', takes role:name:password")
    assert wrong in str(refusal.value)
    assert "long enough" not in str(refusal.value)


@pytest.mark.parametrize("name", ["TOKEN", "VIEWER_TOKEN", "SECRET"])
def test_a_short_token_is_refused_without_being_said(name: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(environ={f"STREAMDIALER_DASHBOARD_{name}": "hunter2"})
    assert str(refusal.value) == (
        f"STREAMDIALER_DASHBOARD_{name}: got '****', takes text of at least 16 characters"
    )


def test_a_password_may_hold_colons() -> None:
    settings = load(environ={"STREAMDIALER_DASHBOARD_USERS": "viewer:w@ll:a:b:c:d:e:f"}).settings
    assert Sessions(settings).users.authenticate("w@ll", "a:b:c:d:e:f") == Login(
        name="w@ll", role="viewer", secret="a:b:c:d:e:f"
    )


def test_no_secret_of_the_dashboard_is_shown() -> None:
    secret = "never to be seen by anybody"
    names = ("USERS", "TOKEN", "VIEWER_TOKEN", "SECRET")
    environ = {f"STREAMDIALER_DASHBOARD_{name}": secret for name in names}
    environ["STREAMDIALER_DASHBOARD_USERS"] = f"viewer:wall:{secret}"
    rows = {row.name: row for row in describe(load(environ=environ))}
    assert {rows[name].value for name in environ} == {"****"}
    assert not [row for row in rows.values() if secret in str(row)]
