"""Fitting of bundles from feature sets."""
