"""The services the dialer talks to: the Django backend, the Dialer API, Asterisk, and addresses that get webhooks."""
