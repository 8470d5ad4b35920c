"""Networks of the demonstration bundle and how each is trained."""
