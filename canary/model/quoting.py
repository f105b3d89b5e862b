r"""How text that others wrote gets into a sentence of ours: on one line, printable, and of bounded length.

Prometheus' answers, messages of an API server, names in a VirtualService and values of annotations are written by
whoever can write them, and are read in terminals, logs, Events and a status of bounded size. An escape sequence there
can hide or forge what a person reads (and worse, in some terminals), a right-to-left override can turn a name around,
a line break can forge a line of a log, and a megabyte can fill all of them.

So there is one way in: whatever is quoted goes through `quote` where it enters. Where text leaves for people (status,
Events, logs, screens) it goes through `spell_out` once more, which changes nothing that was quoted and mends what was
forgotten.

What cannot be printed is spelt out (`\x1b`, `\u202e`) and not dropped: whoever looks for the cause must be able to
see it. Markup (HTML, rich's) is left as it is, for it means nothing in plain text; whoever shows text in a place where
it does mean something switches that off there (`canary.cli.screen.console`).
"""

from typing import Final

_ELLIPSIS: Final = "\u2026"
_READ_FOR_EACH_SHOWN: Final = 8
"""Characters that are looked at for each one that may be shown: spaces are folded, and the rest is never seen."""


def spell_out(text: str) -> str:
    """The text with everything that cannot be printed spelt out; line breaks stay, for they are ours."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else _spelt(letter) for letter in text)


def quote(text: object, longest: int) -> str:
    """The text of something foreign on one line of at most so many characters, all of which can be printed."""
    line = spell_out(" ".join(str(text)[: longest * _READ_FOR_EACH_SHOWN].split()))
    return line if len(line) <= longest else line[: longest - 1] + _ELLIPSIS


def _spelt(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
