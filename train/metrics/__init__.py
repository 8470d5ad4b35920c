"""Metrics: pure functions on numpy arrays, checked against scikit-learn in the tests."""
