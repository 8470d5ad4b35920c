"""Segments to scores: frame encoders, workflow context, both branches, bundles. No threads."""
