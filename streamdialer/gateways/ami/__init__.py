"""AMI, Asterisk's manager interface: messages, one logged-in link, and a client that always connects again."""
