"""The errors of `bench`."""

from __future__ import annotations


class BenchError(Exception):
    """A row cannot be measured; the message is a sentence that says why."""
