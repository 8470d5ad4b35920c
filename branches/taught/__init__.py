"""The small branch of a taught bundle: learned from correct recordings alone."""
