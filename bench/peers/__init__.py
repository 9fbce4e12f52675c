"""Other task queues for Python on Redis, each in its own environment, with the event that our events stage handles."""
