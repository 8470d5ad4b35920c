"""Addresses of sinks: `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY][#OPTION=VALUE&...]`.

What stands behind the `#` is for egomon and never sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from egomon.errors import ConfigError, UsageError
from egomon.fusion.messages.types import DATA_TYPES

# Of a file with an address: a wrong file, a video perhaps, is not read into memory.
MAX_SECRET_BYTES = 4096
SINK_KINDS = frozenset(DATA_TYPES) - {"heartbeat"}


@dataclass(frozen=True, slots=True)
class SinkUri:
    """One address, taken apart; its text must not be shown, since it may hold a password."""

    scheme: str
    host: str
    port: int | None
    path: str
    base: str = field(repr=False)
    """Address without options."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Scheme, host and port: the rest of an address is often its key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port else "")

    def kinds(self, default: Iterable[str]) -> frozenset[str]:
        """Kinds of messages that the option `kinds` names.

        Raises:
            UsageError: one is not known.
        """
        text = self.options.get("kinds")
        found = frozenset(default if text is None else text.split(","))
        if not found <= SINK_KINDS:
            wrong = ", ".join(sorted(found - SINK_KINDS))
            known = ", ".join(sorted(SINK_KINDS))
            raise UsageError(f"{self.shown}: no kind of message is {wrong!r}; known: {known}")
        return found

    def secret(self, option: str, variable: str) -> str | None:
        """Text of the file that an option names, else of an environment variable, else None.

        Raises:
            ConfigError: the file cannot be read, or the text is empty or has control characters.
        """
        path = self.options.get(option)
        try:
            return read_secret(None if path is None else Path(path), option, variable)
        except ConfigError as error:
            raise ConfigError(f"{self.shown}: {error}") from error


def read_secret(path: Path | None, option: str, variable: str) -> str | None:
    """Text of a file, else of an environment variable, else None.

    Args:
        path: the file; None = not given.
        option: what names the file, for messages.
        variable: name of the variable.

    Raises:
        ConfigError: the file cannot be read, or the text is empty or has control characters.
    """
    if path is None and variable not in os.environ:
        return None
    place = variable if path is None else f"the file of {option}"
    try:
        text = os.environ[variable] if path is None else _read(path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"cannot read {place}: {why}; give another") from error
    if not text or not text.isprintable():
        raise ConfigError(f"{place} is empty or holds control characters; write one line")
    return text


def parse_uri(reference: str, options: Iterable[str], *, label: str = "") -> SinkUri:
    """Take an address apart.

    Args:
        reference: what the user wrote.
        options: names that may stand behind the `#`.
        label: what the user gave, for messages; empty = `--sink`.

    Raises:
        UsageError: no host, a bad port, an unknown option, spaces or control characters.
    """
    scheme = reference.partition(":")[0].lower()
    host, problem = None, "it names no host"
    if any(c.isspace() or not c.isprintable() for c in reference):
        problem = "it holds spaces or control characters"
    else:
        try:
            parts = urlsplit(reference)
            host, port = parts.hostname, parts.port
        except ValueError:  # its words may be those of the password
            problem = "its host or port cannot be one; in a password, / is %2F and # is %23"
    if not host:
        raise UsageError(
            f"{label or '--sink'} {scheme}: not an address ({problem}); "
            f"write {scheme}://HOST[:PORT]/PATH"
        )
    given = parse_options(parts.fragment, options, label=f"{label or '--sink'} {scheme}")
    return SinkUri(
        scheme,
        host,
        port,
        parts.path,
        parts._replace(fragment="").geturl(),
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        given,
    )


def parse_options(fragment: str, options: Iterable[str], *, label: str) -> dict[str, str]:
    """Take what stands behind the `#` of an address apart.

    Args:
        fragment: `OPTION=VALUE&...`, may be empty.
        options: names that may stand there.
        label: what the user gave, for messages.

    Raises:
        UsageError: an unknown option, or one without `=`.
    """
    try:
        pairs = parse_qsl(fragment, keep_blank_values=True, strict_parsing=bool(fragment))
    except ValueError:  # its words may be those of the password
        raise UsageError(
            f"{label}: not an address (its # begins no options); write #OPTION=VALUE&... at its end"
        ) from None
    given, known = dict(pairs), sorted(options)
    for name in given:
        if name not in known:
            raise UsageError(
                f"{label}: unknown option {name!r} behind the #; known: {', '.join(known)}"
            )
    return given


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_SECRET_BYTES).decode().strip("\r\n")
