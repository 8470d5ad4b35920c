"""Scores, figures and plots of bundles on feature sets."""
