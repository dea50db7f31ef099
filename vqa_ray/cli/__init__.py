"""The command `vqa`."""
