"""The detectors: one file each, listed in `registry`. They see values only: no clock, no I/O, no other detector."""
