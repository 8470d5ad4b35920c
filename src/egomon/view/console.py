"""The terminal of all verbs: a string is shown as it is, never read as markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from egomon.text import printable


class PlainConsole(Console):
    """A rich console to which every string, also in a table, is text of others.

    Style is given by `rich.text.Text` and `style=`, never by markup in a string.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console.render_str`."""
        options.update(markup=False, emoji=False)
        return super().render_str(printable(text), **options)
