"""What goes wrong in `local`."""

from __future__ import annotations


class LocalError(Exception):
    """Kafka or Postgres cannot be had; the message is a sentence with the way out."""
