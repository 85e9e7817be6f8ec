"""Less garbage collection: none while a process is loaded, and seldom once it has everything."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 20_000
"""New objects after which the garbage collector looks for cycles among them."""


@contextmanager
def paused() -> Iterator[None]:
    """Look for no garbage meanwhile: what is imported stays.

    That is a tenth of the start of a login process [measured].
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """Exempt the present objects from garbage collection, and collect new ones less often.

    With the default of 700 new objects, requests and records in progress were traversed again and
    again [measured: a tenth of a gateway's time, and of a worker's].
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
