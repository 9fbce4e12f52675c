"""A simulated call centre: one world, in virtual time or behind the platform's HTTP APIs and Redis."""
