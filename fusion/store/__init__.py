"""The event store in SQLite: no published event is lost."""
