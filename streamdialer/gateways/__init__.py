"""The two HTTP services the dialer talks to: the Django backend and the Dialer API."""
