"""Where a record stands in the history of a partition."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A place in one partition's history; a later one is greater.

    The generation rises when the log itself is made anew or loses its tail, so
    that an offset that is used again never looks older than its first use.
    """

    generation: int
    offset: int
