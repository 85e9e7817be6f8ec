"""The rule by which partitions are added without deciding an attempt out of order.

A *layout* is a number of partitions. An account's partition in it is the CRC32 of its name modulo
that number, and every record that concerns an account has the layout by which its sender chose the
partition. The rule has three parts:

1. **A partition enters a larger layout at a record of it**, before it decides that record: a
   `SetLayout`, or, where the log has lost that one, any other record of the larger layout. From
   there on it decides no record of a smaller layout. Such a record gets the verdict MOVED, however
   late its gateway wrote it, such as one that was frozen for an hour. The gateway then asks again
   in the new layout.
2. **A layout is in force when the last of its partitions has entered it**, in the same commit
   (`enter_layout`). Until then no partition decides anything beyond the record at which it entered.
3. So **every decision in the smaller layout was committed before the first decision in the larger
   one**, in whichever partition. An account has one partition in each layout, which has one owner
   at a time; so there is one order of its attempts, and it follows from the logs alone.

Stopping the gateways first would need an answer from each of them, and a frozen one gives none. So
the rule does not depend on time, on messages to gateways, or on a process that must live on. For
the same reason a database that is restored, or filled anew from the logs, comes to the same
decisions: the partitions wait for each other again at the same records. An empty database begins
with the layout that the logs begin with, whatever the settings are by then (`python -m events`).

**Steps.** `cerrojo resize` adds partitions to the topic and stores the wanted number. The
rest goes on without it: supervisors start workers for the new partitions (a partition needs at
least a policy, and takes the newest of the others); each owner proposes the layout to its own log,
the new partitions' owners first; the gateways hear of it from heartbeats and ask Postgres.

**Cost.** Attempts that are in the logs meanwhile wait for the slowest partition, usually for half a
second. None is refused for that unless it takes longer than the deadline.

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
    """The layout by which a message's sender chose the partition; 0 if it did not choose by one."""
    return 0 if isinstance(message, SetPolicy | UndecodableError) else message.partitions


def decidable_prefix(
    decoded: Sequence[tuple[R, AttemptsMessage | UndecodableError]], layout: int
) -> Sequence[tuple[R, AttemptsMessage | UndecodableError]]:
    """The records before the first one of a larger layout.

    Raises :class:`LargerLayoutError` where the first record is already of a larger layout.
    """
    for count, (_, message) in enumerate(decoded):
        if layout_of(message) > layout:
            if count == 0:
                raise LargerLayoutError(layout_of(message))
            return decoded[:count]
    return decoded
