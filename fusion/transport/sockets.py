"""Addresses of sockets: checks before binding, and errors that name the option to change."""

from __future__ import annotations

import contextlib
import ipaddress
import socket as posix
import stat
from pathlib import Path
from typing import TypeAlias

import zmq

from egomon import endpoints
from egomon.errors import AddressInUseError, ConfigError

Socket: TypeAlias = zmq.Socket[bytes]
Context: TypeAlias = zmq.Context[Socket]

# For each reader: one that does not read loses its oldest messages, not the monitor its memory.
HIGH_WATER_MARK = 1000
# The last alert is still sent on the way out, and a reader that is gone does not hold it up.
LINGER_MS = 500
MAX_MESSAGE_BYTES = 16 << 20
"""Most bytes of one frame from the monitor; readers cut the connection above it."""
MAX_REQUEST_BYTES = 64 << 10
"""Most bytes of one request's frame to the monitor."""
MAX_SUBSCRIPTION_BYTES = 4 << 10
"""Most bytes of one frame to the event socket: a handshake, or a topic to subscribe."""
_IPC_PATH_BYTES = 107  # sockaddr_un.sun_path on Linux, less its final zero


def is_local(endpoint: str) -> bool:
    """Return whether only this machine can reach an endpoint.

    >>> is_local("tcp://127.0.0.1:5556"), is_local("tcp://*:5556"), is_local("ipc:///run/a")
    (True, False, True)
    """
    scheme, _, rest = endpoint.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # `*`, an interface or a host name


def check_bind(endpoint: str, *, option: str, secured: bool) -> None:
    """Check that an endpoint may be bound.

    Args:
        endpoint: `tcp://HOST:PORT`, `ipc://PATH` or `inproc://NAME`.
        option: the command-line option that sets it, for the message.
        secured: CURVE is on, or the user insists.

    Raises:
        ConfigError: unknown transport, path too long, or open to the network without keys.
    """
    scheme, separator, rest = endpoint.partition("://")
    if not separator or scheme not in ("tcp", "ipc", "inproc") or not rest:
        raise ConfigError(
            f"{option} {endpoint!r} is no endpoint; write tcp://HOST:PORT or ipc://PATH"
        )
    port = rest.rpartition(":")[2]
    # libzmq takes 99999 for 34463.
    if scheme == "tcp" and port != "*" and not (port.isdecimal() and 0 <= int(port) < 65536):
        raise ConfigError(f"{option} {endpoint!r} has no port between 0 and 65535")
    if scheme == "ipc" and len(rest.encode()) > _IPC_PATH_BYTES:
        raise ConfigError(
            f"{option}: an ipc path has at most {_IPC_PATH_BYTES} bytes, {rest!r} has more"
        )
    if not (secured or is_local(endpoint)):
        raise ConfigError(
            f"{option} {endpoint} is open to the network without keys; "
            "give --curve DIR (egomon keygen DIR), or --insecure-bind to do it anyway"
        )


def bind(socket: Socket, endpoint: str, *, option: str) -> str:
    """Bind, and return the resolved endpoint (`tcp://127.0.0.1:*` gets its port).

    Raises:
        AddressInUseError: another program has it.
        ConfigError: no such address here.
    """
    scheme, _, rest = endpoint.partition("://")
    if scheme == "ipc" and not rest.startswith("@"):
        _claim_ipc_path(Path(rest), option)
    socket.ipv6 = "[" in endpoint  # with it on, IPv4 resolves to the unreadable ::ffff:127.0.0.1
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise _in_use(endpoint, option) from error
        raise ConfigError(
            f"cannot bind {option} {endpoint}: {zmq.strerror(error.errno or 0)}; "
            f"use an address of this machine, such as {endpoints.PUBLISH}"
        ) from error
    if scheme == "ipc" and not rest.startswith("@"):
        # Other users are kept out whatever the umask; it decides about the group.
        Path(rest).chmod(stat.S_IMODE(Path(rest).stat().st_mode) & 0o770)
    return socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def _claim_ipc_path(path: Path, option: str) -> None:
    """Make the folder; refuse the path of a living server, which libzmq would silently take."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"cannot make the folder of {option} ipc://{path}: {error}") from error
    with posix.socket(posix.AF_UNIX, posix.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        with contextlib.suppress(OSError):  # nobody there: a stale file, or none
            probe.connect(str(path))
            raise _in_use(f"ipc://{path}", option)


def _in_use(endpoint: str, option: str) -> AddressInUseError:
    return AddressInUseError(
        f"{endpoint} is in use by another program, perhaps another monitor; "
        f"stop it, or give another address with {option}"
    )


def open_socket(context: Context, kind: int, *, max_bytes: int) -> Socket:
    """A socket with the options that every egomon socket has.

    ZMTP heartbeats stay off: with them libzmq 4.3.5 aborts the whole process
    (`Assertion failed: _input_stopped`, zeromq/libzmq#3937) when a reader falls behind its
    high-water mark for longer than the time-out. TCP keep-alive finds dead peers, and egomon's
    own heartbeat messages tell a reader that the monitor is silent.
    """
    socket = context.socket(kind)
    socket.linger = LINGER_MS
    socket.sndhwm = HIGH_WATER_MARK
    socket.rcvhwm = HIGH_WATER_MARK
    socket.maxmsgsize = max_bytes
    socket.handshake_ivl = 10_000
    socket.reconnect_ivl = 100
    socket.reconnect_ivl_max = 5_000
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = 10
    socket.tcp_keepalive_intvl = 5
    socket.tcp_keepalive_cnt = 3
    return socket
