"""Bundles on disk: card, weights, where they are found and how they are saved."""
