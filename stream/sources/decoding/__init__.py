"""From packets to upright RGB pictures of standard range: PyAV, colour and orientation."""
