"""Bodies of the threads along the path of the data, and how they end."""
