"""Segments to scores: frame encoders, workflow context, small and large branch, bundles. No threads."""
