"""Redis itself: connection, key names, scripts, and the consumer groups that every stage uses alike."""
