"""Writers of the streams: ticks on a schedule, ticks and events from any program."""
