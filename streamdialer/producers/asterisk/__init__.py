"""Watches Asterisk over AMI and writes what its calls and agents do as events."""
