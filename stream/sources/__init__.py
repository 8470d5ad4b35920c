"""Sources, one module for each kind; `open.open_source` chooses."""
