"""What can be wrong with a file of accounts."""

from __future__ import annotations


class AccountFileError(Exception):
    """The file cannot be used; the text is a sentence, with the way out."""


class BadRecordError(Exception):
    """A line cannot be used; the text is a sentence for the report."""

    def __init__(self, reason: str, user: str = "") -> None:
        """`user` is the name as the line has it, where it could be read."""
        super().__init__(reason)
        self.user = user
