"""Parts of the pages that come from the code: a mkdocs hook, and functions that tests call.

A page holds `<!-- from the code: NAME -->`; the hook puts the text of `PARTS[NAME]` there, so none
of it can drift.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import runpy
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diagram
import msgspec
from msgspec.inspect import type_info

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"<!-- from the code: ([a-z ]+) -->")
WORDS = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "Path": "path",
}
"""What Python calls a type -> what a page calls it, on the wire, in settings and in commands."""


def commands() -> str:
    """Every verb with its arguments and options."""
    from egomon.cli.app import app

    parts = []
    for words, command in _verbs(app, ("egomon",)):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = [*words, *(p.metavar or p.name.upper() for p in arguments), "[options]"]
        parts += [f"## `{' '.join(words)}`", _one_line(command.help), _code(" ".join(usage))]
        rows = [row for row in (_option(p, command) for p in command.params) if row]
        if rows:
            parts.append(_table(("option", "takes", "default", "what"), rows))
    return "\n\n".join(parts)


def options_of(words: tuple[str, ...]) -> set[str]:
    """Flags that a verb knows.

    Raises:
        KeyError: there is no such verb.
    """
    from egomon.cli.app import app
    from egomon.cli.options import verbs_of

    command: Any = app
    for word in words:
        command = verbs_of(command)[word]
    flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    return {flag for flag in flags if flag.startswith("-")} | {"-h", "--help"}


def configuration() -> str:
    """Every table and key of the settings file."""
    from egomon.config import Settings

    parts = []
    for section, default in msgspec.structs.asdict(Settings()).items():
        kind = type(default)
        rows = [
            (
                f"`{f.name}`",
                _type(_bare(typing.get_args(f.type)[0])),
                _default(getattr(default, f.name)),
                _description(f.type) or "",
            )
            for f in msgspec.structs.fields(kind)
        ]
        parts += [
            f"## `[{section}]`",
            _one_line(kind.__doc__),
            _table(("key", "type", "default", "what"), rows),
        ]
    return "\n\n".join(parts)


def messages() -> str:
    """Every type that is sent, with its fields."""
    from egomon.fusion.messages import envelope
    from egomon.fusion.messages import types as wire

    kinds: list[type[msgspec.Struct]] = [envelope.Envelope, *wire.DATA_TYPES.values()]
    others = [
        kind
        for kind in vars(wire).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__module__ == wire.__name__
        and kind not in kinds
    ]
    parts = []
    for kind in [*kinds, *others]:
        hints = typing.get_type_hints(kind, include_extras=True)
        said = _said_below_fields(kind)
        rows = []
        for f in type_info(kind).fields:  # type: ignore[attr-defined]
            default = "" if f.required else f"`{_json(f)}`"
            what = _one_line(said.get(f.name) or _description(hints[f.name]))
            rows.append((f"`{f.encode_name}`", _type(hints[f.name]), default, what))
        parts += [
            f"### {kind.__name__}",
            _one_line(kind.__doc__),
            _table(("field", "type", "default", "what"), rows),
        ]
    return "\n\n".join(parts)


def requests() -> str:
    """Verbs of the request socket and the fields that each takes."""
    from egomon.fusion.transport.control_server import ControlHandler, Operations

    rows = []
    for name, method in (*vars(ControlHandler).items(), *vars(Operations).items()):
        if isinstance(method, types.FunctionType) and not name.startswith("_"):
            takes = [f"`{field}`" for field in inspect.signature(method).parameters][1:]
            verb = f"`{name.replace('_', '-')}`"
            does = _one_line(method.__doc__).partition(";")[0].removesuffix(".")
            rows.append((verb, ", ".join(takes), does))
    return _table(("verb", "takes", "does"), rows)


def reloadable() -> str:
    """Settings that a running monitor takes over."""
    # The package around this module imports torch, which these pages do not need.
    listed = runpy.run_path(str(ROOT / "src/egomon/monitor/operations/reload.py"))["RELOADABLE"]
    keys = (f"`{section}.{key}`" for section, names in listed.items() for key in sorted(names))
    return ", ".join(keys)


def exit_codes() -> str:
    """Exit codes of the command, as its module lists them."""
    import egomon.cli

    listed = _one_line((egomon.cli.__doc__ or "").partition("Exit codes:")[2])
    rows = re.findall(r"(\d+) ([^;.]+)", listed)
    return _table(("code", "meaning"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "configuration": configuration,
    "messages": messages,
    "requests": requests,
    "exit codes": exit_codes,
    "reloadable": reloadable,
    "pipeline": diagram.svg,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Mkdocs calls this for each page."""
    return MARK.sub(lambda found: PARTS[found[1]](), markdown)


def _verbs(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    from egomon.cli.options import verbs_of

    below = verbs_of(command)
    if not below or (command.invoke_without_command and len(words) > 1):
        yield words, command
    for name, each in below.items():
        yield from _verbs(each, (*words, name))


def _option(p: Any, command: Any) -> tuple[str, str, str, str] | None:
    if getattr(p, "hidden", False) or "--help" in p.opts:
        return None
    is_option = p.param_type_name == "option"
    names = p.opts + p.secondary_opts if is_option else [p.metavar or p.name.upper()]
    kind = p.type.name.removesuffix(" range")
    many = ", repeatable" if p.multiple or p.nargs < 0 else ""
    takes = "flag" if getattr(p, "is_flag", False) else _word(kind) + many
    usual = p.to_info_dict()["default"]
    default = "" if usual in (None, False, ()) else f"`{usual}`"
    return ", ".join(f"`{name}`" for name in names), takes, default, _one_line(p.help)


def _said_below_fields(kind: type) -> dict[str, str]:
    """Field name to the string that stands below it in the source."""
    [body] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _bare(kind: Any) -> Any:
    """Without `| None`."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(k for k in typing.get_args(kind) if k is not type(None))
    return kind


def _type(kind: Any) -> str:
    """A type as a page shows it; message types are links."""
    if kind is type(None):
        return "null"
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " | ".join(f"`{value}`" for value in inside)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_type, inside))
    if origin is typing.Annotated:
        return _type(inside[0])
    if origin in (tuple, list):
        named = [_type(k) for k in inside if k is not ...]
        return f"list of {named[0]}" if ... in inside else f"list: {', '.join(named)}"
    if origin is dict:
        return f"object of {_type(inside[1])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return "object" if kind is msgspec.Raw else _word(kind.__name__)


def _word(kind: str) -> str:
    return WORDS.get(kind, kind)


def _description(kind: Any) -> str | None:
    """What `msgspec.Meta` says about a type."""
    metas = typing.get_args(kind)[1:] if typing.get_origin(kind) is typing.Annotated else ()
    return next((meta.description for meta in metas if meta.description), None)


def _default(value: Any) -> str:
    return "" if value is None else f"`{json.dumps(value)}`"


def _json(field: Any) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.json.encode(field.default_factory()).decode()
    return msgspec.json.encode(field.default).decode()


def _one_line(text: str | None) -> str:
    first = (text or "").strip().split("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Columns that are empty in every row are left out."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    head, rows = _only(head, kept), [_only(row, kept) for row in rows]
    lines = [head, tuple("---" for _ in head), *(_escaped(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _only(row: tuple[str, ...], kept: list[int]) -> tuple[str, ...]:
    return tuple(row[i] for i in kept)


def _escaped(row: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row)


def _code(text: str) -> str:
    return f"```\n{text}\n```"
