"""Writers of the streams: ticks by schedule, events by whoever knows, both from any program."""
