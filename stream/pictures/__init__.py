"""Pictures as they leave: scaled, and as JPEG."""
