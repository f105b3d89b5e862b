"""The one way to the terminal for text from a cluster: nothing in it is markup, emoji or worth a colour.

rich reads `[bold]` in any plain text as an instruction. A query such as `{pod=~"[a-z]+"}` would lose a part, and
`[/x]` would end the program; so a console that draws what others wrote takes every text as it stands. Colours come from
`rich.text.Text` with a style, which is unaffected.
"""

from rich.console import Console


def open_console() -> Console:
    """A console on standard output that takes text literally."""
    return Console(highlight=False, markup=False, emoji=False)
