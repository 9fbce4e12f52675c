"""The four stages of a replica: ticks, calls, events, updates. They meet in Redis only."""
