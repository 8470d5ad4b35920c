"""Benchmarks of learned workflow graphs on labelled steps, with a perfect recogniser."""
