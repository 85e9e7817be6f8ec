"""Hashes are made in turn by source, and of each source by account."""

from __future__ import annotations

import threading
from typing import NamedTuple

from gateway.passwords.hash_queue import HashQueue


class Job(NamedTuple):
    """A job of a sender."""

    account: str
    number: int
    sender: int = 1
    source: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """By which it is withdrawn."""
        return self.sender, self.number


def queue_of(*jobs: Job) -> HashQueue[Job]:
    """A queue with these jobs."""
    queue: HashQueue[Job] = HashQueue()
    for job in jobs:
        queue.put(job)
    return queue


def test_accounts_take_turns() -> None:
    """One with a single job is not behind all of another's; each account's are in order."""
    queue = queue_of(Job("a", 1), Job("a", 2), Job("a", 3), Job("b", 4), Job("c", 5))
    assert [queue.take().number for _ in range(5)] == [1, 4, 5, 2, 3]


def test_sources_take_turns() -> None:
    """One person is not behind all the names that another one guesses at."""
    queue = queue_of(
        *(Job(name, number, source="many") for number, name in enumerate("abca")),
        Job("a", 4, source="one"),
        Job("d", 5, source="two"),
    )
    assert [queue.take().number for _ in range(6)] == [0, 4, 5, 1, 2, 3]


def test_a_withdrawn_job_is_never_taken() -> None:
    """It says whether it was in time; one that was taken goes on."""
    queue = queue_of(Job("a", 1), Job("a", 2), Job("b", 3))
    assert queue.take().number == 1
    assert not queue.withdraw((1, 1))
    assert queue.withdraw((1, 2))
    assert not queue.withdraw((1, 2))
    assert queue.take().number == 3


def test_a_sender_that_is_gone_leaves_nothing() -> None:
    """Others' jobs with the same numbers stay."""
    queue = queue_of(Job("a", 1, sender=1), Job("a", 1, sender=2), Job("b", 2, sender=1))
    queue.withdraw_all(1)
    assert queue.take() == Job("a", 1, sender=2)
    assert not queue._sources


def test_a_thread_waits_for_a_job() -> None:
    """It takes it when it comes."""
    queue = queue_of()
    taken: list[Job] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.put(Job("a", 1))
    thread.join(10)
    assert taken == [Job("a", 1)]
