"""The requests that wait for a hash, taken in turn by source, and of each source by account."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar


class Job(Protocol):
    """The part of a job that the queue needs."""

    @property
    def source(self) -> str: ...

    @property
    def account(self) -> str: ...

    @property
    def key(self) -> tuple[int, int]:
        """The sender and its number for the request."""
        ...


J = TypeVar("J", bound=Job)

_Accounts = OrderedDict[str, deque[J]]


class HashQueue(Generic[J]):
    """Jobs of many accounts from many sources, for many threads.

    A source with hundreds of them delays another by one, and so does an account within a source.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sources: OrderedDict[str, _Accounts[J]] = OrderedDict()
        self._waiting: dict[tuple[int, int], J] = {}

    def put(self, job: J) -> None:
        """Add a job behind the others of its account."""
        with self._changed:
            accounts = self._sources.setdefault(job.source, OrderedDict())
            accounts.setdefault(job.account, deque()).append(job)
            self._waiting[job.key] = job
            self._changed.notify()

    def take(self) -> J:
        """The next job of the account whose turn it is. Waits until there is one."""
        with self._changed:
            while not self._sources:
                self._changed.wait()
            source, accounts = self._sources.popitem(last=False)
            account, jobs = accounts.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                accounts[account] = jobs  # behind all others
            if accounts:
                self._sources[source] = accounts
            del self._waiting[job.key]
            return job

    def withdraw(self, key: tuple[int, int]) -> bool:
        """Remove a job; False if it has been taken already."""
        with self._changed:
            job = self._waiting.pop(key, None)
            if job is None:
                return False
            accounts = self._sources[job.source]
            jobs = accounts[job.account]
            jobs.remove(job)
            if not jobs:
                del accounts[job.account]
            if not accounts:
                del self._sources[job.source]
            return True

    def withdraw_all(self, sender: int) -> None:
        """Remove all jobs of a sender."""
        with self._changed:
            keys = [key for key in self._waiting if key[0] == sender]
        for key in keys:
            self.withdraw(key)
