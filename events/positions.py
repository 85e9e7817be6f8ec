"""The position of a record in the history of its partition."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from msgspec import Meta


class Position(NamedTuple):
    """A place in one partition's history; a later one is greater.

    The generation rises when the log is recreated or loses its tail, so that an offset that is
    used again never seems older than its first use.
    """

    generation: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    offset: Annotated[int, Meta(ge=0, le=2**63 - 1)]
