"""The phone as camera: a page that sends its picture by WebRTC, and WHIP (RFC 9725) for others."""

from egomon.extras import needs_extra

with needs_extra("--device phone", "phone"):
    import aiortc  # noqa: F401
    import cryptography  # noqa: F401
    import segno  # noqa: F401
