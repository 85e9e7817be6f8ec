"""The error of `local`."""

from __future__ import annotations


class LocalError(Exception):
    """Kafka or Postgres cannot be started; the message says why, and the way out."""
