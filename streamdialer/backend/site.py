"""The site of the pages: everybody with a role may log in."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class Site(AdminSite):
    site_header = site_title = "streamdialer"
    index_title = _("Campaigns, lists and contacts")
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return user.is_active and user.is_authenticated and (user.is_superuser or user.groups.exists())


class SiteConfig(AdminConfig):
    default_site = "streamdialer.backend.site.Site"
