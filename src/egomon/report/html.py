"""One HTML file from the assets and the data; nothing in it is loaded from anywhere else."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

import msgspec

from egomon.http.app import hash_source

STYLES = ("page.css", "state.css")
SCRIPTS = (
    "store.js",
    "words.js",
    "shapes.js",
    "timeline.js",
    "minimap.js",
    "why.js",
    "list.js",
    "app.js",
)
LIVE_SCRIPTS = ("state.js", "sound.js", "steps.js", "learn.js", "live.js")
LAST_SCRIPT = "start.js"

_UNSAFE = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def asset(name: str) -> str:
    """Read a packaged file."""
    return files("egomon.report").joinpath("assets", name).read_text(encoding="utf-8")


def safe_json(value: Any) -> str:
    r"""Encode JSON that cannot end its script element, whatever strings it holds.

    >>> safe_json("</script>")
    '"\\u003c/script\\u003e"'
    """
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, as undecodable names of files have
        text = json.dumps(msgspec.to_builtins(value))
    return text.translate(_UNSAFE)


def style_text() -> str:
    """All style sheets."""
    return "\n".join(asset(name) for name in STYLES)


def script_text(*, live: bool) -> str:
    """All scripts in one scope."""
    names = (*SCRIPTS, *(LIVE_SCRIPTS if live else ()), LAST_SCRIPT)
    body = "\n".join(asset(name) for name in names)
    return f'(() => {{\n"use strict";\n{body}\n}})();'


def content_policy(style: str, script: str, *, live: bool) -> str:
    """Content Security Policy: only this script runs, so injected text never does."""
    connect = "connect-src 'self'" if live else "connect-src 'none'"
    media = "img-src 'self' data:; media-src 'self' data: file:"
    return (
        f"default-src 'none'; style-src {hash_source(style)}; script-src {hash_source(script)}; "
        f"{media}; {connect}; base-uri 'none'; form-action 'self'"
    )


def build_page(data: dict[str, Any], *, title: str, live: bool = False) -> str:
    """The whole page."""
    style, script = style_text(), script_text(live=live)
    parts = {
        "{{policy}}": html.escape(content_policy(style, script, live=live), quote=True),
        "{{title}}": html.escape(title),
        "{{style}}": style,
        "{{data}}": safe_json(data),
        "{{script}}": script,
    }
    page = asset("page.html")
    out, at = [], 0
    # One pass, so that text from the wire is never searched for placeholders.
    for key, value in sorted(parts.items(), key=lambda item: page.index(item[0])):
        found = page.index(key, at)
        out += [page[at:found], value]
        at = found + len(key)
    return "".join([*out, page[at:]])
