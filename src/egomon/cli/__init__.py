"""The command `egomon`. stdout is data, stderr is logs; each verb imports its work when called.

Exit codes: 0 done; 1 internal error; 2 usage, configuration or data; 3 source; 4 model; 5 address
in use; 6 replay differs from --expect; 7 ended degraded with --strict; 130 Ctrl-C; 141 the reader
of stdout went away (`| head`); 143 SIGTERM.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import logging
import os
import signal
import sys
from typing import NoReturn

from egomon.cli.app import app, called_verb
from egomon.cli.stdout import PipedText
from egomon.errors import EgomonError, MissingExtraError
from egomon.extras import extra_of
from egomon.stream.redact import RedactFilter, redact
from egomon.text import printable

__all__ = ["app", "main"]

# As shells do: 128 and the number of the signal.
EXIT_SIGINT = 130
EXIT_SIGTERM = 143
RUNS = ("live", "replay")
"""Verbs that run a monitor. Garbage is collected again once their session has imported all, as
modules are none; models may still be loading in a thread when they end with an error."""


def main() -> None:
    """Run one verb; a user's mistake gives one sentence on stderr, never a traceback."""
    if sys.stderr is None:  # closed (`2>&-`): the next file that is opened would get its messages
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - to the end
    logging.basicConfig(
        level=os.environ.get("EGOMON_LOG", "WARNING").upper(),
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactFilter())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = PipedText.over(sys.stdout)
    elif sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - likewise
    # Ctrl-C while models load must end at once and quietly; a run replaces these handlers.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(EXIT_SIGINT))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_SIGTERM))
    sys.unraisablehook = _end_if_signalled
    verb = called_verb(sys.argv[1:])
    if verb in RUNS:
        gc.disable()
    try:
        try:
            app()
        except BaseException as error:
            if (code := _signal_behind(error)) is not None:
                _leave_now(code)
            raise
    except SystemExit as end:
        _end(end.code)
    except EgomonError as error:
        _tell(error, at_once=verb in RUNS)
    except ModuleNotFoundError as error:
        extra = extra_of(error)
        if extra is None:
            raise
        missing = MissingExtraError(f"this command, which uses {error.name},", extra)
        _tell(missing, at_once=verb in RUNS)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        _leave_now(EXIT_SIGTERM)  # the terminal was closed: nobody is left to tell


def _signal_behind(error: BaseException | None) -> int | None:
    """Exit code of the signal that led to an error; None = it was no signal.

    A library in C that is being imported makes an ImportError of the exit.
    """
    while error is not None:
        if isinstance(error, SystemExit) and error.code in (EXIT_SIGINT, EXIT_SIGTERM):
            return error.code
        error = error.__cause__ or error.__context__
    return None


def _end_if_signalled(lost: sys.UnraisableHookArgs) -> None:
    """End where Python drops the exit: in a destructor, or as the lock of an import is freed."""
    if (code := _signal_behind(lost.exc_value)) is not None:
        _leave_now(code)
    sys.__unraisablehook__(lost)


def _tell(error: EgomonError, *, at_once: bool = False) -> NoReturn:
    """End with one sentence on stderr; `at_once` without Python's own clean-up."""
    logging.getLogger("egomon").debug("details", exc_info=True)
    with contextlib.suppress(OSError):  # a full disk behind it
        sys.stderr.write(f"egomon: {printable(redact(str(error)))}\n")
    if at_once:
        _leave_now(error.exit_code)
    _end(error.exit_code)


def _end(code: str | int | None) -> NoReturn:
    """Flush stdout here, so that the exit code can still say that its reader has gone."""
    try:
        sys.stdout.flush()
    except SystemExit as gone:
        code = code or gone.code
    except EgomonError as error:
        _tell(error)
    sys.exit(code)


def _leave_now(code: int) -> NoReturn:
    """End the process without Python's own clean-up, which takes seconds once torch is loaded.

    Sockets, store and files are closed by now, and the user who pressed Ctrl-C is waiting. A model
    that loads in another thread would be waited for too, and torch does not bear to be imported
    while Python ends.
    """
    # Measured from the last message to the end of the process: 4.3 s with it, below 1 s without.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError, SystemExit, EgomonError):
            stream.flush()
    os._exit(code)
