"""Who may do what: each role is a Django group, and its permissions are set anew with every migration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

ROLES: Final[dict[str, tuple[str, ...]]] = {
    "viewer": ("view_*",),
    "supervisor": (
        *("view_*", "add_campaign", "change_campaign", "add_contact", "change_contact", "delete_contact"),
        *("add_contactlist", "change_contactlist", "add_queue", "change_queue", "delete_queue"),
        *("add_agent", "change_agent", "delete_agent", "report_statistics"),
    ),
    "administrator": ("*",),
    # the dialer's own account
    "dialer": (
        *(
            "view_campaign",
            "view_contact",
            "view_contactlist",
            "view_queue",
            "view_agent",
            "view_attempt",
            "view_block",
        ),
        *("change_contact", "report_statistics", "add_contact", "add_contactlist", "change_contactlist"),
        *("add_campaign", "add_queue"),
    ),
}
"""Permissions by role; `*` stands for any ending. Administrators manage users too."""


def grant_permissions(**_signal: Any) -> None:
    """After a migration: makes the groups, and gives each exactly its permissions."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    for label in ("backend", "auth"):
        create_permissions(apps.get_app_config(label), verbosity=0)
    ours = list(Permission.objects.filter(content_type__app_label="backend"))
    users = list(Permission.objects.filter(content_type__app_label="auth", content_type__model="user"))
    for role, patterns in ROLES.items():
        allowed = [each for each in ours if _matches(each.codename, patterns)]
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([*allowed, *users] if role == "administrator" else allowed)


def _matches(codename: str, patterns: Iterable[str]) -> bool:
    return any(
        codename.startswith(pattern.removesuffix("*")) if pattern.endswith("*") else codename == pattern
        for pattern in patterns
    )
