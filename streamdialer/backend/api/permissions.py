"""Every request needs a permission of its role, reading too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rest_framework.permissions import DjangoModelPermissions, IsAuthenticated
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView

_VIEW: Final = ["%(app_label)s.view_%(model_name)s"]


class RolePermissions(DjangoModelPermissions):
    perms_map = {**DjangoModelPermissions.perms_map, "GET": _VIEW, "HEAD": _VIEW, "OPTIONS": _VIEW}


class MayReportStatistics(IsAuthenticated):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and request.user.has_perm("backend.report_statistics")


class MayImport(IsAuthenticated):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and request.user.has_perm("backend.add_contact")
