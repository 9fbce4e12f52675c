"""The chaos run: a real dialer with faults by a seeded schedule, audited by the simulated call centre."""
