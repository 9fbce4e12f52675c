"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class BackendConfig(AppConfig):
    name = "streamdialer.backend"
    label = "backend"
    verbose_name = _("Call centre")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from streamdialer.backend.roles import grant_permissions

        post_migrate.connect(grant_permissions, sender=self)
