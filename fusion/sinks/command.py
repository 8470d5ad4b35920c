"""The sink `exec:COMMAND`: a program that is run for each message, which it reads from stdin."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from egomon.errors import ConfigError, DeliveryError, UsageError
from egomon.fusion.messages.message import Message
from egomon.fusion.messages.session_file import encode_line
from egomon.fusion.sinks.sink import SinkContext

TIMEOUT_SECONDS = 10.0
# Closing must not wait for a command's whole time-out.
_POLL_SECONDS = 0.1


class CommandSink:
    """Runs a program, without a shell; its exit status 0 means that the message is delivered.

    It gets one line of a recorded session on stdin. One that runs for longer than ten seconds is
    killed with its children, and as one that fails it is run again for the same message.

    Raises:
        UsageError: the reference holds no command, or an unclosed quote.
        ConfigError: there is no such program.
    """

    kinds = frozenset({"alert", "status"})

    def __init__(
        self,
        reference: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._command = shlex.split(reference.partition(":")[2])
        except ValueError as error:
            raise UsageError(f"--sink exec: {error}; close the quotes of the command") from error
        if not self._command or "\0" in reference:
            raise UsageError("--sink exec: names no program; write exec:'PROGRAM ARGUMENTS'")
        self._name = os.path.basename(self._command[0])
        if shutil.which(self._command[0]) is None:
            raise ConfigError(
                f"--sink exec: there is no program {self._command[0]!r} that can be run; "
                "give its path"
            )
        self._timeout_seconds, self._clock = timeout_seconds, clock
        self._stop = threading.Event()

    def open(self, context: SinkContext) -> None:
        """See `Sink`."""
        self._stop = context.stop

    def send(self, message: Message) -> None:
        """See `Sink`."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"{self._name} cannot be run: {error.strerror}") from error
        with process:
            try:
                self._wait(process, encode_line(message))
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            raise DeliveryError(f"{self._name} ends with status {process.returncode}")

    def close(self) -> None:
        """See `Sink`."""

    def _wait(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        deadline = self._clock() + self._timeout_seconds
        given: bytes | None = line
        while True:
            try:
                process.communicate(given, _POLL_SECONDS)
                return
            except subprocess.TimeoutExpired as error:
                given = None  # it keeps what it has not written yet
                if self._clock() >= deadline or self._stop.is_set():
                    raise DeliveryError(
                        f"{self._name} does not end within {self._timeout_seconds:g} s"
                    ) from error
