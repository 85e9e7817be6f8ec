"""How the partitions become more without an attempt out of order: the rule, and the records.

A *layout* is a number of partitions. An account's partition in it is the CRC32 of its name modulo
that number, and every record that concerns an account says by which layout its sender chose the
partition. The rule has three parts:

1. **A partition enters a larger layout at a record that says so**, and before it decides that
   record: a `SetLayout`, or, where the log has lost that one, any other of the larger layout. From
   there on it decides no record of a smaller layout: that gets the verdict MOVED, whenever its
   gateway wrote it, as when it was frozen for an hour. Who asked asks again, in the new layout.
2. **A layout is in force when the last of its partitions has entered it**, in the same commit
   (`enter_layout`). Until then nobody decides anything beyond the records at which they entered.
3. So **all that was ever decided in the smaller layout was committed before the first decision in
   the larger one**, in whichever partition. An account has one partition in each layout, which has
   one owner at a time; so there is one order of its attempts, and the logs alone say which.

To stop the gateways first would take a word from each of them, and a frozen one gives none. So
nothing in this depends on time, on who is told what, or on a process that must live on. Which is
also why a database that is restored, or filled anew from the logs, comes to the same decisions:
the partitions wait for each other there again, at the same records. An empty one begins with the
layout that the logs begin with, whatever the settings say by then (`python -m events`).

**Who does it.** `python -m workers resize` adds partitions to the topic and notes how many are
wanted. The rest goes on without it: supervisors start workers for the new partitions (the least
that a partition needs is a policy, and it takes the newest of the others'); each owner proposes
the layout to its own log, the new partitions' first; the gateways hear of it by heartbeats.

**What it costs.** Attempts that are in the logs meanwhile wait for the slowest partition, usually
for half a second; nobody is refused for that unless it takes longer than the deadline.

Positions stay comparable: with the layout, all partitions get a generation above all former ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from events.messages import AttemptsMessage, SetPolicy, UndecodableError

R = TypeVar("R")


class LargerLayoutError(Exception):
    """The next record is of a layout that the partition has not entered yet."""

    def __init__(self, layout: int) -> None:
        super().__init__(f"the next record is of a layout of {layout} partitions")
        self.layout = layout


def layout_of(message: AttemptsMessage | UndecodableError) -> int:
    """The layout by which its sender chose the partition; 0 where it did not matter."""
    return 0 if isinstance(message, SetPolicy | UndecodableError) else message.partitions


def before_larger(
    decoded: Sequence[tuple[R, AttemptsMessage | UndecodableError]], layout: int
) -> Sequence[tuple[R, AttemptsMessage | UndecodableError]]:
    """Those that can be decided now; :class:`LargerLayoutError` where that is none."""
    for count, (_, message) in enumerate(decoded):
        if layout_of(message) > layout:
            if count == 0:
                raise LargerLayoutError(layout_of(message))
            return decoded[:count]
    return decoded
