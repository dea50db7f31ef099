"""Pure parts: readings, incidents, the life of a source, placement. No I/O, no clock, no thread."""
