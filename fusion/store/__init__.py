"""The event store in SQLite: what was announced is never lost."""
