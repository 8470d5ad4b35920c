"""What an operator needs: health, metrics, watchdog, restarts, reload."""
