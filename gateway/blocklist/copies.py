"""Recognises copies of signed news that somebody appends to `blocks` again.

An owner numbers what it publishes in its epoch, and the brokers keep that order. So a record whose
number is not above the last one of its epoch is a copy. Believed, one would make a dead owner live,
or put the blocklist in doubt again and again. News of an epoch that was never heard are no copies
for all that is known; the blocklist has its own rules for epochs that are over.
"""

from __future__ import annotations

from collections import defaultdict

from events.messages import BlocksMessage

MOST_EPOCHS = 1_000
"""Remembered for each partition: the highest ones, more claims than an hour sees."""


class NewsCopies:
    """The highest number of each epoch that was heard."""

    def __init__(self) -> None:
        self._numbers: defaultdict[int, dict[int, int]] = defaultdict(dict)

    def is_copy(self, message: BlocksMessage, number: int) -> bool:
        """Whether it was heard before; then it must not be believed. To be asked once for each."""
        heard = self._numbers[message.partition]
        if number <= heard.get(message.epoch, 0):
            return True
        heard[message.epoch] = number
        if len(heard) > MOST_EPOCHS:
            del heard[min(heard)]
        return False
