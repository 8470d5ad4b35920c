"""Pixels to segments: sources, rolling clip buffer, segmenter, workers. Never imports torch."""
