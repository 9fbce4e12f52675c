"""What one call costs in round trips, commands, bytes and requests: counts that a busy machine does not change."""
