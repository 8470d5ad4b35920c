"""Which files are no tests."""

collect_ignore = ["gst_server.py"]
"""Run by another Python, the one that has `gi`; the doctest collector would import it here."""
