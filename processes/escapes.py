"""Text of others, as a terminal or a log may have it."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile("[^ -~]")


def escaped(text: str, keep: str = "") -> str:
    r"""The same, with escapes (``\x1b``, ``\u202e``) in the place of what is not printed.

    That is all that could move a cursor, write a title, begin a line of its own or turn the
    direction of what follows. ``keep`` are characters that stay, as a line feed.
    """
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(
        lambda found: c if (c := found[0]).isprintable() or c in keep else ascii(c)[1:-1], text
    )
