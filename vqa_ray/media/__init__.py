"""Inputs: open, demux, decode. The only package that imports av."""
