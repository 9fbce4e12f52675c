"""What a replica shows of itself."""
