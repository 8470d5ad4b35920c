"""Words of a vision model about an alert's pictures, fetched by a thread of their own.

They come later, as an `update` of the alert, and never change its verdict.
"""

from __future__ import annotations

import base64
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from egomon.errors import ConfigError, DeliveryError, MissingExtraError
from egomon.fusion.media.face_blur import FaceBlur
from egomon.fusion.media.images import Size, picture_of
from egomon.stream.channel import Channel, ChannelClosed, WakeUp
from egomon.stream.frame import Frame, Segment, UInt8Image
from egomon.stream.pictures.jpeg import jpeg_of
from egomon.stream.redact import redact
from egomon.stream.worker import Worker
from egomon.text import printable

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

KEY = "EGOMON_DESCRIBE_KEY"
"""Environment variable with the endpoint's key."""
PICTURES = 4
# Enough to tell what a hand holds, and a few hundred tokens for a model.
PICTURE_PX = 512
MOST_WAITING = 4
"""Alerts that wait for their words; the oldest gives way."""
# Words come after the alert and hold nothing up, but old ones are of no use.
TIMEOUT_SECONDS = 30.0
JOIN_SECONDS = 1.0
LONGEST_CHARACTERS = 300
# A sentence is asked for; a server that answers without end is cut off.
MOST_ANSWER_BYTES = 1 << 20
PROMPT = (
    "These pictures, in order, are from the camera of a person at work. A monitor reported: "
    "{explanation} Say in one plain sentence of at most 30 words what the hands do in the "
    "pictures. Do not judge whether the report is right."
)


@dataclass(frozen=True, slots=True)
class Description:
    """What the model said about one alert."""

    alert_id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    alert_id: str
    source: str
    explanation: str
    frames: tuple[Frame, ...]
    size: Size | None


class Describer:
    """Asks an OpenAI-compatible endpoint (`/chat/completions`) for a sentence about each alert.

    A fault (no answer, refused) costs the words, is counted in `failed` and logged once.

    Args:
        url: base address, such as `http://127.0.0.1:8000/v1`.
        model: name of the model there; None asks the endpoint for its first.
        wake: notified when words have come.
        blur: covers faces before a picture leaves this machine; where that fails, none does.
        transport: of httpx, for tests.

    Raises:
        ConfigError: the address or the key cannot be used.
        MissingExtraError: without httpx.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        wake: WakeUp | None = None,
        blur: FaceBlur | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("--describe", "sinks") from error
        self._shown, self._model, self._blur = redact(url), model, blur
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--describe {self._shown}: write http(s)://HOST:PORT/v1")
        headers = {"User-Agent": "egomon"}
        key = os.environ.get(KEY, "")
        if key:
            if not (key.isascii() and key.isprintable()):
                raise ConfigError(f"{KEY} holds characters that no header may hold; correct it")
            headers["Authorization"] = f"Bearer {key}"
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell the whole address
        try:
            self._client = httpx.Client(
                base_url=url.rstrip("/") + "/",
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise ConfigError(f"--describe {self._shown} is no address: {error}") from error
        self._jobs: Channel[_Job] = Channel(MOST_WAITING, on_full="drop_oldest")
        self.done: Channel[Description] = Channel(
            2 * MOST_WAITING, on_full="drop_oldest", wake=wake
        )
        self.failed = 0
        self.fault: str | None = None
        """Why the last alert has no words; None while it works."""
        self.worker = Worker("describe", self.run, may_restart=lambda worker, error: True)

    def submit(self, alert_id: str, explanation: str, segment: Segment, size: Size | None) -> None:
        """Ask for words about a segment; never blocks."""
        step = max(1, len(segment.frames) // PICTURES)
        frames = tuple(segment.frames[step // 2 :: step][:PICTURES])
        try:
            self._jobs.put(_Job(alert_id, segment.source, explanation, frames, size))
        except ChannelClosed:
            logger.debug("no words about %s: the run is over", alert_id)

    def run(self, worker: Worker) -> None:
        """Run the thread until closed."""
        while True:
            worker.beat()
            try:
                job = self._jobs.get(0.5)
            except ChannelClosed:
                return
            if job is not None:
                self._describe(job)

    def close(self) -> None:
        """End the thread; words that are still on their way are given up. Idempotent."""
        self._jobs.close()
        if self.worker.alive:
            self.worker.stop()
            if not self.worker.join(JOIN_SECONDS):
                logger.info("words about an alert were still on their way and are given up")
        self._client.close()

    def _describe(self, job: _Job) -> None:
        try:
            text = self._ask(job)
        except Exception as error:  # whatever a foreign endpoint does, alerts go on
            self.failed += 1
            if self.fault is None and not self.worker.stopping:
                logger.warning("no words about alerts from %s: %s", self._shown, error)
            self.fault = str(error)
            return
        self.fault = None
        self.done.put(Description(job.alert_id, job.source, text))

    def _ask(self, job: _Job) -> str:
        if not job.frames:
            raise DeliveryError("the segment has no pictures")
        frames, size = job.frames, job.size
        if self._blur is not None:
            frames, size = tuple(self._blur.frames(frames, size)), None
        pictures = [picture_of(frame, size, width=PICTURE_PX) for frame in frames]
        asked = PROMPT.format(explanation=job.explanation)
        body = {
            "model": self._model or self._first_model(),
            "max_tokens": 100,
            "messages": [
                {
                    "role": "user",
                    "content": [*map(_picture, pictures), {"type": "text", "text": asked}],
                }
            ],
        }
        found = self._json("POST", "chat/completions", body)
        try:
            said = found["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            said = None
        if not isinstance(said, str) or not said.strip():
            raise DeliveryError("it gave no text")
        text = printable(" ".join(said.split()))
        return text if len(text) <= LONGEST_CHARACTERS else text[: LONGEST_CHARACTERS - 1] + "…"

    def _first_model(self) -> str:
        found = self._json("GET", "models")
        try:
            name = found["data"][0]["id"]
        except (KeyError, IndexError, TypeError):
            name = None
        if not isinstance(name, str):
            raise DeliveryError("it names no model; set evidence.describe_model")
        self._model = name
        return name

    def _json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        import httpx
        import msgspec

        try:
            with self._client.stream(method, path, json=body) as response:
                data = b""
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > MOST_ANSWER_BYTES:
                        raise DeliveryError("its answer is too large")
            if response.status_code != httpx.codes.OK:
                raise DeliveryError(f"it answers with status {response.status_code}")
            return msgspec.json.decode(data, type=dict)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise DeliveryError(str(error) or type(error).__name__) from error


def _picture(picture: UInt8Image) -> dict[str, object]:
    jpeg = base64.b64encode(jpeg_of(picture)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{jpeg}"}}
