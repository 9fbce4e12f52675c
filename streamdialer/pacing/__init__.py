"""How many calls to place now: pure functions of a snapshot."""
