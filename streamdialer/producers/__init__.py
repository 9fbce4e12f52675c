"""Writers of the streams: ticks on a schedule, events of Asterisk, ticks and events from any program."""
