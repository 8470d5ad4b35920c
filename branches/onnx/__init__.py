"""Networks of a bundle in ONNX Runtime; no torch."""
