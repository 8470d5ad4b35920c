"""Extraction: labelled videos to feature sets, on one machine or many."""
