"""One module per peer: its task, and `python -m … COUNT`, which writes so many events with the peer's own client.

They run in the peer's environment and import nothing of the dialer. `REDIS_URL` is the server. Each task does one
`HINCRBY`.
"""
