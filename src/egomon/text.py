"""Text of others: what bundles, files, cameras and messages say, on its way to a terminal."""


def printable(text: str) -> str:
    r"""Replace all that a terminal would obey instead of show; lines and tabs stay.

    Control and escape characters, marks that turn the writing direction, and bytes of a file name
    that are no text become spaces.

    >>> printable("caf\xe9 \x1b[2J\x9b1m\u202eexe\udce9\n")
    'café  [2J 1m exe \n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def cell(text: str) -> str:
    """Make a text for a CSV file that no spreadsheet runs as a formula.

    >>> cell("=HYPERLINK(...)"), cell("a-1")
    ("'=HYPERLINK(...)", 'a-1')
    """
    shown = printable(text)
    return f"'{shown}" if shown.lstrip().startswith(("=", "+", "-", "@")) else shown
