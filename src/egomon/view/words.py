"""Signs, words and numbers of all views; each state is readable without colour."""

from __future__ import annotations

import re

from egomon.fusion.messages.types import AlertData, StatusData
from egomon.text import printable

SOURCE_STATES = {
    "connecting": ("…", "connecting"),
    "online": ("●", "online"),
    "stalled": ("!", "stalled: no frames are coming"),
    "reconnecting": ("~", "reconnecting"),
    "offline": ("x", "offline"),
    "ended": ("■", "ended"),
}
DOMAINS = {
    "unknown": ("?", "domain not known yet"),
    "in_domain": ("+", "in domain"),
    "out_of_domain": ("!", "OUT OF DOMAIN"),
}
OUT_OF_DOMAIN = (
    "This footage is unlike what the model was trained on, so no mistakes are reported; "
    "teach it your work with `egomon teach`. If you did: this place differs from the recordings; "
    "add one run from here with `egomon teach --add`."
)
REFINERS = {
    "absent": "no second score",
    "closed": "second score ready",
    "open": "second score paused after failures",
    "half-open": "second score is tried again",
}
PHASES = {"new": "! new", "update": "~ update", "end": ". end", "retract": "x retract"}
ASCII_SIGNS = str.maketrans({"●": "*", "…": ".", "■": "#", "·": "-", "▲": "^", "◆": "f", "×": "x"})

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def clean(text: str) -> str:
    r"""Make one printable line, without control characters and credentials.

    >>> clean("rtsp://me:secret@cam/1\x1b[2J\nnext")
    'rtsp://***@cam/1 [2J next'
    """
    return " ".join(printable(_CREDENTIALS.sub("***@", text)).split("\n")).replace("\t", " ")


def reason_of(alert: AlertData) -> str:
    """Return the reason of an alert as one printable line."""
    return clean(alert.explanation)


def clock(t_seconds: float) -> str:
    """Media time.

    >>> clock(75.25), clock(3675.0)
    ('01:15.2', '1:01:15.0')
    """
    tenths = int(max(0.0, t_seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    body = f"{minutes:02d}:{rest / 10:04.1f}"
    return f"{hours}:{body}" if hours else body


def duration(seconds: float) -> str:
    """Format a length of time, rounded.

    >>> duration(42.4), duration(75), duration(7260)
    ('42 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def status_sentence(status: StatusData) -> str:
    """Describe the state of a source, with the next attempt and the error."""
    sign, word = SOURCE_STATES[status.source_state]
    parts = [f"{sign} {word}"]
    if status.attempt and status.source_state in {"connecting", "reconnecting", "offline"}:
        retry = "" if status.next_retry_s is None else f", next in {status.next_retry_s:.0f} s"
        parts.append(f"(attempt {status.attempt}{retry})")
    if status.error is not None:
        parts.append(f"{status.error.code}: {clean(status.error.message)}")
    return " ".join(parts)


def refiner_words(status: StatusData) -> str:
    """Describe the state of the large branch and the mode."""
    words = REFINERS[status.refiner]
    return f"{words} · DEGRADED" if status.degraded else words
