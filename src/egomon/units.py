"""Factors between units that more than one folder needs."""

NS_PER_SECOND = 1_000_000_000
SECONDS_PER_NS = 1e-9
