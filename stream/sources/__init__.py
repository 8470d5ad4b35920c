"""One file a kind of source; `egomon.stream.open_source` chooses."""
