"""The sinks `say:` and `sound:`: this machine speaks alerts, or plays a tone for each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from egomon.errors import ConfigError, EgomonError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.sinks.notices.notice import TONES, Notice, NoticeKind, Notices
from egomon.fusion.sinks.notices.repeats import make_repeats
from egomon.fusion.sinks.sink import SinkContext

# A sentence takes five; a sound device that hangs must not keep the next one.
TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.1
RATE_HZ = 22050
SPEAKERS: tuple[tuple[str, ...], ...] = (
    ("say", "-f", "-"),
    ("espeak-ng", "--stdin"),
    ("espeak", "--stdin"),
    ("spd-say", "--wait", "--"),
    (
        "powershell",
        "-NoProfile",
        "-Command",
        "Add-Type -AssemblyName System.Speech; (New-Object System.Speech.Synthesis."
        "SpeechSynthesizer).Speak([Console]::In.ReadToEnd())",
    ),
)
"""Programs that speak what they read from stdin; one that ends in `--` takes it as its argument."""
PLAYERS: tuple[tuple[str, ...], ...] = (
    ("pw-play",),
    ("paplay",),
    ("aplay", "-q"),
    ("afplay",),
    ("powershell", "-NoProfile", "-Command", "(New-Object Media.SoundPlayer $args[0]).PlaySync()"),
)
"""Programs that play the WAV file which is their last argument."""


class _NoticeSink:
    """Tells what `Notices` chooses; repeats open alerts where `#repeat=SECONDS` asks for it."""

    kinds = frozenset({"alert", "status"})

    def __init__(
        self,
        reference: str,
        programs: tuple[tuple[str, ...], ...],
        advice: str,
        clock: Callable[[], float],
    ) -> None:
        name, _, rest = reference.partition(":")
        if rest and not rest.startswith("#"):
            raise UsageError(
                f"--sink {name}: takes nothing behind the colon but options; write {name}: or "
                f"{name}:#repeat=20s"
            )
        self._repeats = make_repeats(rest[1:], clock, label=f"--sink {name}")
        self._command, self._clock = _program(name, programs, advice), clock
        self._notices = Notices()
        self._context = SinkContext()

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""
        self._context = context

    def send(self, message: Message) -> None:
        """See `Sink`."""
        notice = self._notices.of(message)
        if self._repeats is not None:
            self._repeats.note(message, notice)
        if notice is not None and not self._context.mute.is_on:
            self._tell(notice)

    def idle(self) -> None:
        """See `Sink`: tell an open alert again when it is time."""
        if self._repeats is None or self._context.mute.is_on:
            return
        notice = self._repeats.due(self._context.seen)
        if notice is not None:
            self._tell(notice)

    def close(self) -> None:
        """See `Sink`."""

    def _tell(self, notice: Notice) -> None:
        raise NotImplementedError

    def _run(self, *arguments: str, given: bytes = b"") -> None:
        run([*self._command, *arguments], given, self._context.stop, self._clock)


class SpeechSink(_NoticeSink):
    """Speaks the sentence of each alert that opens, and the other changes of `Notices`.

    Raises:
        UsageError: something but `#repeat=SECONDS` stands behind `say:`.
        ConfigError: no program on this machine can speak.
    """

    def __init__(self, reference: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(reference, SPEAKERS, "install espeak-ng", clock)

    def _tell(self, notice: Notice) -> None:
        if self._command[-1] == "--":
            self._run(notice.sentence)
        else:
            self._run(given=notice.sentence.encode())


class SoundSink(_NoticeSink):
    """Plays a tone of its own for each kind of notice, see `TONES`.

    Raises:
        UsageError: something but `#repeat=SECONDS` stands behind `sound:`.
        ConfigError: no program on this machine can play a file.
    """

    def __init__(self, reference: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(reference, PLAYERS, "install alsa-utils", clock)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""
        super().open(context)
        self._folder = tempfile.TemporaryDirectory(prefix="egomon-")
        for kind in TONES:
            write_tone(self._file(kind), kind)

    def close(self) -> None:
        """See `Sink`."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _tell(self, notice: Notice) -> None:
        self._run(str(self._file(notice.kind)))

    def _file(self, kind: NoticeKind) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, f"{kind}.wav")


def write_tone(path: Path, kind: NoticeKind) -> None:
    """Write the tone of a kind as a WAV file, one channel of 16 bits."""
    parts = []
    for hertz, seconds in TONES[kind]:
        t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
        # Without a soft beginning and end a loudspeaker cracks.
        edge = np.minimum(1.0, np.minimum(t, seconds - t) / 0.01)
        parts.append(0.5 * edge * np.sin(2 * np.pi * hertz * t))
    samples = (np.concatenate(parts) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())


def run(
    command: tuple[str, ...] | list[str],
    given: bytes,
    stop: threading.Event,
    clock: Callable[[], float],
) -> None:
    """Run a program, without a shell, until it ends, the time is over, or the run is.

    Raises:
        EgomonError: it cannot be run, fails, or takes too long; no message waits for it again.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise EgomonError(f"{command[0]} cannot be run: {error.strerror}") from error
    with process:
        deadline = clock() + TIMEOUT_SECONDS
        text: bytes | None = given
        while True:
            try:
                process.communicate(text, POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                text = None
                if clock() >= deadline or stop.is_set():
                    process.kill()
                    raise EgomonError(
                        f"{command[0]} did not end within {TIMEOUT_SECONDS:g} s"
                    ) from None
    if process.returncode:
        raise EgomonError(f"{command[0]} ends with status {process.returncode}")


def _program(name: str, known: tuple[tuple[str, ...], ...], advice: str) -> tuple[str, ...]:
    for command in known:
        # `say` is something else where it is not macOS.
        if command[0] == "say" and sys.platform != "darwin":
            continue
        if shutil.which(command[0]) is not None:
            return command
    names = ", ".join(command[0] for command in known)
    raise ConfigError(
        f"{name}: no program of this machine does it (looked for {names}); {advice}, or use the "
        "sound of the live page: --view"
    )
