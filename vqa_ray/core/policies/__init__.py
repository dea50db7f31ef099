"""Placement policies: which of the analyzers with room a stream is given."""
