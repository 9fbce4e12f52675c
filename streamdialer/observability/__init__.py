"""Logs, metrics, traces, health, and the redaction of phone numbers and secrets."""
