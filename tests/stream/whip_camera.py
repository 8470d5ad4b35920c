"""A camera that pushes by WHIP: aiortc as the sender, in a thread of its own."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from fractions import Fraction
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import av
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from videos import pictures

SECONDS = 30.0
Answer = tuple[int, dict[str, str], str]


def ask(url: str, method: str, token: str, body: str = "", kind: str = "application/sdp") -> Answer:
    """Status, headers and body of one request to a server with a self-made certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=SECONDS, context=context)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    try:
        connection.request(method, parts.path, body.encode(), headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


class Pictures(VideoStreamTrack):
    """Numbered pictures, as fast as a camera of 30 frames a second gives them."""

    def __init__(self) -> None:
        super().__init__()
        self._pictures = [av.VideoFrame.from_ndarray(each, format="rgb24") for each in pictures(60)]
        self._next = 0

    async def recv(self) -> av.VideoFrame:
        pts, base = await self.next_timestamp()
        frame = self._pictures[self._next % len(self._pictures)].reformat(format="yuv420p")
        self._next += 1
        frame.pts, frame.time_base = pts, Fraction(base)
        return frame


class WhipCamera:
    """Sends to a WHIP address from `__enter__` to `__exit__`."""

    def __init__(
        self, url: str, token: str, *, codec: str | None = None, sound: bool = False
    ) -> None:
        self._url, self._token, self._codec, self._sound = url, token, codec, sound
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.texts: list[str] = []
        """What came over the data channel."""
        self.got_text = threading.Event()
        self.answer: Answer = (0, {}, "")

    def __enter__(self) -> Self:
        self._thread.start()
        offer = self._run(self._offer())
        self.answer = ask(self._url, "POST", self._token, offer)
        if self.answer[0] == 201:
            self._run(
                self._peer.setRemoteDescription(RTCSessionDescription(self.answer[2], "answer"))
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.answer[0] == 201:
            location = self.answer[1]["location"]
            with suppress(OSError):  # the other end has left first
                ask(urljoin(self._url, location), "DELETE", self._token)
        self.vanish()

    def vanish(self) -> None:
        """End without a word."""
        if not self._loop.is_closed():
            self._run(self._peer.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(SECONDS)
            self._loop.close()

    async def _offer(self) -> str:
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if self._sound:  # first, as OBS does it
            self._peer.addTrack(AudioStreamTrack())
        self._peer.addTrack(Pictures())
        channel = self._peer.createDataChannel("alerts")
        channel.on("message", self._take)
        if self._codec is not None:
            sender = self._peer.getTransceivers()[-1]
            known = sender.receiver.getCapabilities("video").codecs
            sender.setCodecPreferences([each for each in known if self._codec in each.mimeType])
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    def _take(self, text: str) -> None:
        if text:  # an empty one says that we are heard
            self.texts.append(text)
            self.got_text.set()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)
