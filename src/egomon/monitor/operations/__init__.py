"""Operation of a running monitor: health pages, metrics, watchdog, restarts, reload."""
