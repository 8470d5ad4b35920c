"""Fits of the kind `uemcm`: both heads and the gate."""
