"""USB and built-in cameras: Video4Linux2, and OpenCV on other systems."""
