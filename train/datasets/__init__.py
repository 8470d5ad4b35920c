"""Readers: published layouts and plain tables to feature sets."""
