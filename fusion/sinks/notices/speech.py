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
from egomon.fusion.sinks.notices.notice import TONES, NoticeKind, Notices
from egomon.fusion.sinks.sink import Mute, SinkContext

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


class SpeechSink:
    """Speaks the sentence of each alert that opens, and the other changes of `Notices`.

    Raises:
        UsageError: something stands behind `say:`.
        ConfigError: no program on this machine can speak.
    """

    kinds = frozenset({"alert", "status"})

    def __init__(self, reference: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._command = _program(reference, "say", SPEAKERS, "install espeak-ng")
        self._notices, self._clock = Notices(), clock
        self._stop, self._mute = threading.Event(), Mute()

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""
        self._stop, self._mute = context.stop, context.mute

    def send(self, message: Message) -> None:
        """See `Sink`."""
        notice = self._notices.of(message)
        if notice is None or self._mute.is_on:
            return
        if self._command[-1] == "--":
            run([*self._command, notice.sentence], b"", self._stop, self._clock)
        else:
            run(self._command, notice.sentence.encode(), self._stop, self._clock)

    def close(self) -> None:
        """See `Sink`."""


class SoundSink:
    """Plays a tone of its own for each kind of notice, see `TONES`.

    Raises:
        UsageError: something stands behind `sound:`.
        ConfigError: no program on this machine can play a file.
    """

    kinds = frozenset({"alert", "status"})

    def __init__(self, reference: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._command = _program(reference, "sound", PLAYERS, "install alsa-utils")
        self._notices, self._clock = Notices(), clock
        self._stop, self._mute = threading.Event(), Mute()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""
        self._stop, self._mute = context.stop, context.mute
        self._folder = tempfile.TemporaryDirectory(prefix="egomon-")
        for kind in TONES:
            write_tone(self._file(kind), kind)

    def send(self, message: Message) -> None:
        """See `Sink`."""
        notice = self._notices.of(message)
        if notice is not None and not self._mute.is_on:
            run([*self._command, str(self._file(notice.kind))], b"", self._stop, self._clock)

    def close(self) -> None:
        """See `Sink`."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

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


def _program(
    reference: str, name: str, known: tuple[tuple[str, ...], ...], advice: str
) -> tuple[str, ...]:
    if reference.partition(":")[2]:
        raise UsageError(f"--sink {name}: takes nothing behind the colon; write {name}:")
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
