"""Fits the one-class model that is used over a base whose step head knows the footage."""
