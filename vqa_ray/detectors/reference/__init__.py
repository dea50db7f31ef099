"""Sync error of one stream against another one of the same programme, whatever the content."""
