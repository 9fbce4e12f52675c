"""Campaigns, lists and contacts for those who have no backend of their own: a Django application.

It is the other side of the HTTP that `gateways/backend.py` speaks, and knows nothing of the dialer. Only the command
`streamdialer backend` imports it.
"""
