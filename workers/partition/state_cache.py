"""Lock states that a partition's owner has read or written, so that it need not read them again."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from workers.decision.policy import CLEAN, LockState

CACHED_ACCOUNTS = 10_000
"""At most; some three megabytes."""


class StateCache:
    """The states of some accounts, as the owner's last commit left them.

    The owner is the only writer of its accounts' states. Correctness does not lie in the reading
    but in the compare-and-set of the commit: if another owner has written meanwhile, or the
    database went back, it misses. Clear the cache then, at a claim, and when accounts move between
    partitions. Retention deletes only states that decide like none.
    """

    def __init__(self, most: int = CACHED_ACCOUNTS) -> None:
        self._most = most
        self._states: dict[str, LockState] = {}

    def missing(self, users: Collection[str]) -> set[str]:
        """Those of these accounts whose states have to be read."""
        return {user for user in users if user not in self._states}

    def add(self, users: Collection[str], stored: Mapping[str, LockState]) -> None:
        """Add the stored states of these accounts; an account without one is clean."""
        for user in users:
            self._states[user] = stored.get(user, CLEAN)

    def of(self, users: Collection[str]) -> dict[str, LockState]:
        """The states of these accounts, none of which is missing."""
        return {user: self._states[user] for user in users}

    def commit(self, states: Mapping[str, tuple[LockState, int]]) -> None:
        """These states were committed. Forgets the accounts that were added first, if too many."""
        for user, (state, _) in states.items():
            self._states[user] = state
        if len(self._states) > self._most:
            for user in list(self._states)[: len(self._states) - self._most]:
                del self._states[user]

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
