"""The phone as camera: a page that sends its picture by WebRTC, and WHIP (RFC 9725) for others."""

from egomon.errors import MissingExtraError

try:
    import aiortc  # noqa: F401
    import cryptography  # noqa: F401
    import segno  # noqa: F401
except ImportError as error:
    raise MissingExtraError("--device phone", "phone") from error
