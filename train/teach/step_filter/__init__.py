"""Fits the steps that a filter follows, by aligning recordings, and counts what it will find."""
