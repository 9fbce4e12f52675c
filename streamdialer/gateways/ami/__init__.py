"""AMI, Asterisk's manager interface: messages, one logged-in link, and a client that connects again for ever."""
