"""Where the camera of one source is put, and which secrets let it in."""

from __future__ import annotations

import hmac
import threading
from contextlib import suppress

from egomon.errors import EgomonError
from egomon.http.access import new_token
from egomon.stream.sources.webrtc.session import WhipSession


class PlaceTakenError(EgomonError):
    """Another camera sends here."""


class PhonePlace:
    """The place of one source.

    A link with a code is for one browser: the first offer that comes with the code is given a
    session secret, and the code is void. Programs that speak WHIP use the key, again and again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = new_token()
        self.code = new_token()
        self.users = 1
        """How many hold it, see `PhoneServer`."""
        self.closed = False
        """Nobody holds it any more."""
        self._session_secret = new_token()
        self._changed = threading.Condition()
        self._code_is_void = False
        self._waiting: WhipSession | None = None
        self._active: WhipSession | None = None

    @property
    def was_reached(self) -> bool:
        """Whether a camera was ever let in."""
        return bool(self._here())

    def admits(self, given: str) -> str | None:
        """Who comes with this secret: `page` or `program`; None for nobody."""
        if _equal(given, self.key):
            return "program"
        if _equal(given, self._session_secret) or (
            _equal(given, self.code) and not self._code_is_void
        ):
            return "page"
        return None

    def is_void(self, given: str) -> bool:
        """Whether this is the code, and was used."""
        return self._code_is_void and _equal(given, self.code)

    def secret_for(self, given: str) -> str | None:
        """The session secret in exchange for the code, which is void from now on."""
        if not _equal(given, self.code):
            return None
        self._code_is_void = True
        return self._session_secret

    def check_free(self, owner: str) -> None:
        """Raise `PlaceTakenError` while a camera of another owner is here."""
        for each in self._here():
            if not each.pictures.closed and each.owner != owner:
                raise PlaceTakenError("another camera sends here; stop it first")

    async def put(self, session: WhipSession) -> None:
        """Put a camera here, in the loop; the one before it ends."""
        with self._changed:
            before = self._here()
            self._waiting = session
            self._changed.notify()
        for each in before:
            each.pictures.close()
        for each in before:
            with suppress(ConnectionError):
                await each.aclose()

    def take(self, timeout_seconds: float) -> WhipSession | None:
        """The camera that came, if one comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None, timeout_seconds)
            if self._waiting is None:
                return None
            self._active, self._waiting = self._waiting, None
            return self._active

    def find(self, session_id: str) -> WhipSession | None:
        """The camera of this id, if it is here."""
        return next((each for each in self._here() if _equal(each.id, session_id)), None)

    def tell(self, text: str) -> None:
        """Send a text to the camera's page; from any thread, never waits."""
        session = self._waiting or self._active
        if session is not None:
            session.tell(text)

    def clear(self) -> None:
        """End who is here, and let nobody in; from any thread but the loop's."""
        self.closed = True
        for each in self._here():
            each.close()

    def _here(self) -> list[WhipSession]:
        return [each for each in (self._waiting, self._active) if each is not None]


def _equal(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())
