"""Takes passwords and tokens out of addresses before anybody sees them."""

from __future__ import annotations

import re

HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET = re.compile(
    r"([?&;](?:[\w-]*(?:pass|token|secret|key|auth|sig)[\w-]*)=)[^&;\s#]+", re.IGNORECASE
)


def redact(text: str) -> str:
    """Remove user names, passwords and token-like query values from all URLs in a text.

    >>> redact("rtsp://me:hunter2@10.0.0.5/live?token=abc&fps=5")
    'rtsp://***@10.0.0.5/live?token=***&fps=5'
    """
    return _SECRET.sub(rf"\g<1>{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
