"""All errors that egomon raises, in one tree; `egomon.cli` gives a sentence and an exit code.

```
EgomonError                 exit 1
├── UsageError              exit 2   wrong option, configuration or data
│   ├── ConfigError
│   ├── DataError
│   ├── MissingExtraError
│   └── PluginError
├── SourceError             exit 3   the camera, stream or file
│   ├── SourceOpenError
│   └── SourceLostError
├── BundleError             exit 4   model missing, corrupt or not matching
│   └── LargeEndpointError           its server is away, refuses, or serves another
├── AddressInUseError       exit 5
├── ReplayMismatchError     exit 6
├── DegradedError           exit 7   ended degraded under --strict
├── WireError               exit 1   a message that does not follow the schema
├── StoreError              exit 2   not there, damaged or full
├── DeliveryError           exit 1   the far side of a sink is away; told in the status
├── ControlError            exit 1   the monitor refused a request, or did not answer
└── WorkerCrashedError      exit 1   a worker thread raised; the cause is chained
```

A message says what happened, why, and what to do next.
"""

from __future__ import annotations


class EgomonError(Exception):
    """Root of every error that egomon raises on purpose."""

    exit_code = 1


class UsageError(EgomonError):
    """Something the caller asked for cannot be done as asked."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file, variable or option has an unknown key or a bad value."""


class DataError(UsageError):
    """A data set breaks its format; the message names file and row."""


class MissingExtraError(UsageError):
    """An optional package is needed; the message names the extra to install."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional package; install it with: pip install 'egomon[{extra}]'"
        )


class PluginError(UsageError):
    """A plug-in cannot be used; the message names the package that brings it."""


class SourceError(EgomonError):
    """A source cannot deliver frames.

    `code` is stable and goes on the wire: STREAM_TIMEOUT, STREAM_NOT_FOUND, STREAM_AUTH_FAILED,
    STREAM_NO_VIDEO, STREAM_NO_KEY_FRAME, STREAM_CODEC_UNSUPPORTED, STREAM_DAMAGED, STREAM_ENDED,
    DEVICE_NOT_FOUND, DEVICE_BUSY.
    """

    exit_code = 3

    def __init__(self, message: str, *, code: str = "STREAM_DAMAGED") -> None:
        super().__init__(message)
        self.code = code


class SourceOpenError(SourceError):
    """The source could not be opened at all."""


class SourceLostError(SourceError):
    """An open source stopped delivering; live sources are reopened, files end."""


class BundleError(EgomonError):
    """A model bundle is missing, corrupt or does not match what it is used with."""

    exit_code = 4


class LargeEndpointError(BundleError):
    """The large branch's server does not answer, refuses, or serves another model.

    Args:
        restarted: it may have been started anew since the last answer, with another model.
    """

    def __init__(self, message: str, *, restarted: bool = False) -> None:
        super().__init__(message)
        self.restarted = restarted


class AddressInUseError(EgomonError):
    """A socket address is taken by another process."""

    exit_code = 5


class ReplayMismatchError(EgomonError):
    """A replay gave other alerts than the ones expected."""

    exit_code = 6


class DegradedError(EgomonError):
    """The run ended degraded and --strict was given."""

    exit_code = 7


class WireError(EgomonError):
    """A message does not follow the wire schema."""


class StoreError(EgomonError):
    """The event store cannot be read or written."""

    exit_code = 2


class DamagedStoreError(StoreError):
    """The file of the event store is no database, or a damaged one."""


class DeliveryError(EgomonError):
    """A sink's far side does not take a message now; the same message is offered again later."""


class ControlError(EgomonError):
    """A monitor refused a request, or did not answer in time.

    `code` is stable: no_answer, bad_request, unknown_verb, not_found, too_old, store_error, failed.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class WorkerCrashedError(EgomonError):
    """A worker thread raised; the original exception is the cause."""
