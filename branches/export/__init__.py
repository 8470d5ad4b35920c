"""Writes the networks of a bundle as ONNX, from their torch form."""
