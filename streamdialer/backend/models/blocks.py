"""Blocks: which rules have forbidden calls, as the dialer wrote it to its stream of blocks."""

from __future__ import annotations

from django.db import models

from streamdialer.backend.models.campaigns import Campaign


class Block(models.Model):
    entry_id = models.CharField(max_length=40)
    """Of the stream's entry: one tick of a campaign."""
    position = models.PositiveSmallIntegerField()
    """Of the rule in the entry."""
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="blocks")
    at = models.DateTimeField(db_index=True)
    reason = models.CharField(max_length=40)
    rule = models.TextField(blank=True)
    count = models.PositiveIntegerField()
    contacts = models.JSONField(default=list)
    """The ids of the first of them."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=("entry_id", "position"), name="block_of_entry_once"),)

    def __str__(self) -> str:
        return f"{self.entry_id} {self.reason}"
