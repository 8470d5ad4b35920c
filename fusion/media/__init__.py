"""Pictures and clips that belong to alerts."""
