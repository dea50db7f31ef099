"""A stream from its URL to its incidents, in one process."""
