"""The pages for people: Django's admin, in English and Spanish."""

from streamdialer.backend.admin import attempts, campaigns, contacts, queues, users

__all__ = ["attempts", "campaigns", "contacts", "queues", "users"]
