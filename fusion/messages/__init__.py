"""Messages as they are sent: types, envelope and JSON Schema."""
