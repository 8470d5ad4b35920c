"""Trains the demonstration bundle `workbench` on simulated bench work, from nothing."""
