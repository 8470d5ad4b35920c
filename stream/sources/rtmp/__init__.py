"""Cameras that push: an RTMP server for one camera a key (Adobe RTMP 1.0)."""
