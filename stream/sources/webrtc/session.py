"""One visit of a camera over WebRTC: its offer answered, pictures taken in, alerts sent to it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import OperationError

from egomon.errors import EgomonError
from egomon.stream.sources.webrtc.pictures import EncodedPicture, PictureQueue

# Of video in RTP, whatever its frame rate (RFC 3551, 5).
CLOCK_RATE = 90_000
# A phone that is out of reach answers no goodbye.
CLOSE_SECONDS = 0.5
KEY_FRAME_SECONDS = 0.5
"""Between two requests for a key frame."""
# The phone's page counts beats: it sees a lost monitor before WebRTC does.
BEAT_SECONDS = 1.0
MOST_UNSENT_BYTES = 1 << 16
"""Of alerts that a camera does not take."""
_RATE = re.compile(r"^a=rtpmap:\d+ ([\w-]+)/90000", re.MULTILINE)
# Names of the local network would be looked up by multicast. The camera finds us by our address,
# and we find its by where its packets come from.
_LOCAL_NAME = re.compile(r"^a=candidate:[^\r\n]*\.local [^\r\n]*\r?\n", re.MULTILINE)
_INTAKE = "_RTCRtpReceiver__decoder_queue"


class OfferError(Exception):
    """The offer cannot be accepted; the sentence is for both ends."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class WhipSession:
    """Lives in the server's event loop; what may be called from other threads says so.

    Args:
        owner: who sent the offer; the same camera takes its own place again.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.id = secrets.token_urlsafe(16)
        self.pictures = PictureQueue(self.ask_for_key_frame)
        self._loop = asyncio.get_running_loop()
        # No server outside the local network is asked anything.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.on("connectionstatechange", self._on_state)
        self._peer.on("datachannel", self._on_channel)
        self._receiver: Any = None
        self._channel: Any = None
        self._asked = 0.0
        self._tasks: set[asyncio.Future[None]] = set()

    async def answer(self, offer: str) -> str:
        """Accept an offer (SDP); the answer with all our addresses.

        Raises:
            OfferError: it is no offer, or has no video that can be decoded here.
        """
        text = _LOCAL_NAME.sub("", offer)
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(text, "offer"))
        except OperationError:
            names = sorted(set(_RATE.findall(text)) - {"rtx", "red", "ulpfec", "flexfec-03"})
            offered = ", ".join(names)[:100] or "nothing known"
            sentence = f"egomon takes VP8 and H.264, and this camera offers {offered}"
            raise OfferError(sentence, 406) from None
        except Exception as error:  # whatever a text of others makes a parser raise
            raise OfferError("this is no WebRTC offer (SDP)", 400) from error
        for receiver in self._peer.getReceivers():
            if receiver.track is None:  # what the other end wants to see
                continue
            is_first = receiver.track.kind == "video" and self._receiver is None
            _take_encoded(receiver, self.pictures.put if is_first else _ignore)
            if is_first:
                self._receiver = receiver
        if self._receiver is None:
            raise OfferError("this offer has no video", 422)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    def tell(self, text: str) -> None:
        """Send a text to the camera's page, if it is there; from any thread, never waits."""
        self._in_loop(lambda: self._send(text))

    def ask_for_key_frame(self) -> None:
        """Ask the camera for a picture that needs no other; at most twice a second."""
        now = time.monotonic()
        if self._receiver is not None and now - self._asked >= KEY_FRAME_SECONDS:
            self._asked = now
            self._in_loop(self._request_key_frame)

    def close(self) -> None:
        """End the connection, from any thread but the loop's; waits for at most half a second."""
        self.pictures.close()
        if self._loop.is_running():
            ended = asyncio.run_coroutine_threadsafe(self.aclose(), self._loop)
            # An end that takes longer, or a loop that ends first, has nothing more to say.
            with suppress(TimeoutError, concurrent.futures.CancelledError):
                ended.result(CLOSE_SECONDS)

    async def aclose(self) -> None:
        """End the connection, in the loop."""
        self.pictures.close()
        await self._peer.close()

    def _in_loop(self, task: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended: so has the camera
            self._loop.call_soon_threadsafe(task)

    def _send(self, text: str) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount < MOST_UNSENT_BYTES:
            channel.send(text)

    def _request_key_frame(self) -> None:
        for source in self._receiver.getSynchronizationSources():
            self._start(self._receiver._send_rtcp_pli(source.source))

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        self._start(self._beat())

    async def _beat(self) -> None:
        """Let the page know that it is heard: of itself a browser needs nine seconds to notice."""
        while not self.pictures.closed:
            self._send("")
            await asyncio.sleep(BEAT_SECONDS)

    def _on_state(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self.pictures.close()
        if self._peer.connectionState == "failed":
            self._start(self._peer.close())

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself holds it only weakly
        task.add_done_callback(self._tasks.discard)


class _Intake:
    """Stands where a receiver of aiortc has the queue of its decoder.

    Pictures stay compressed until the source is read: the number that waits and the size of a
    decoded picture are then bounded by us (aiortc bounds neither), and sound is not decoded at all.
    The decoder's thread only waits here for its end.
    """

    def __init__(self, put: Callable[[EncodedPicture], None]) -> None:
        self._put = put
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def put(self, task: Any) -> None:
        """Called in the loop with codec and picture, or None at the end."""
        if task is None:
            self._ended.put(None)
            return
        codec, frame = task
        if not frame.data:  # packets that only fill up, to measure the bandwidth
            return
        pts_seconds = frame.timestamp / CLOCK_RATE
        now_ns = time.monotonic_ns(), time.time_ns()
        self._put(EncodedPicture(codec.name, bytes(frame.data), pts_seconds, *now_ns))

    def get(self) -> None:
        """Called in the thread of aiortc's decoder; returns at the end."""
        return self._ended.get()


def _take_encoded(receiver: Any, put: Callable[[EncodedPicture], None]) -> None:
    if not hasattr(receiver, _INTAKE):
        raise EgomonError(
            "this version of aiortc is not known; install the one that egomon asks for"
        )
    setattr(receiver, _INTAKE, _Intake(put))


def _ignore(picture: EncodedPicture) -> None:
    """Sound, and further cameras."""
