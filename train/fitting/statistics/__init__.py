"""Fits of the kind `evidence`: statistics of steps."""
