"""Live streams and recordings at an address; what is lost is opened again."""
