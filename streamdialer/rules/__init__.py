"""When and how often to call, and what follows a call: pure functions of a campaign's settings and a rule pack."""
