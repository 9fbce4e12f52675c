"""The addresses: the contract's HTTP below /api/, the pages for people below /admin/."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from rest_framework.routers import DefaultRouter

from streamdialer.backend.api.imports import ContactListView
from streamdialer.backend.api.login import LogIn, Refresh
from streamdialer.backend.api.views import (
    AgentView,
    AttemptView,
    BlockView,
    CampaignView,
    ContactView,
    QueueView,
)

router = DefaultRouter()
router.include_root_view = False
router.register("campaigns", CampaignView)
router.register("queues", QueueView)
router.register("agents", AgentView)
router.register("contacts", ContactView)
router.register("attempts", AttemptView)
router.register("blocks", BlockView)
router.register("lists", ContactListView)

urlpatterns = [
    path("api/token/", LogIn.as_view()),
    path("api/token/refresh/", Refresh.as_view()),
    path("api/", include(router.urls)),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
