"""Queues and agents."""

from __future__ import annotations

from django.contrib import admin

from streamdialer.backend.models import Agent, Queue


@admin.register(Queue)
class QueueAdmin(admin.ModelAdmin):
    search_fields = ("name",)
    filter_horizontal = ("agents",)


@admin.register(Agent)
class AgentAdmin(admin.ModelAdmin):
    list_display = ("id", "name", "status")
    list_filter = ("status", "queues")
    search_fields = ("id", "name")
