"""The chaos run: a real dialer, attacked without pause by a seeded schedule, audited by the simulated call centre."""
