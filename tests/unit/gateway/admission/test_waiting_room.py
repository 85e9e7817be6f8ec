"""How many may wait: a crowd is let in whole, an overload that lasts is refused at once."""

from __future__ import annotations

from gateway.admission.waiting_room import WaitingRoom

MOST = 1000
PATIENCE_SECONDS = 4.0


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


def waiting_room() -> tuple[WaitingRoom, Clock]:
    """A waiting room and its clock."""
    clock = Clock()
    return WaitingRoom(MOST, PATIENCE_SECONDS, clock), clock


def full(room: WaitingRoom, waiting: int) -> bool:
    """Whether it is, for another source than all of these, each of which is another one."""
    return room.full(waiting, 0, waiting + 1)


def test_a_crowd_is_let_in_whole() -> None:
    """Nobody is refused for what others' turns might take."""
    room, clock = waiting_room()
    for _ in range(10):
        clock.now += 1.0
        room.served()
    assert not full(room, MOST - 1)
    assert full(room, MOST)


def test_after_one_waited_in_vain_as_many_may_wait_as_can_be_served() -> None:
    """In the time for which one may wait, by what was served in the last such time."""
    room, clock = waiting_room()
    for _ in range(300):
        clock.now += 0.02  # fifty a second
        room.served()
    room.in_vain()
    assert not full(room, 199)
    assert full(room, 202)
    clock.now += PATIENCE_SECONDS / 2
    assert not full(room, 99)
    assert full(room, 102)


def test_it_is_over_when_there_was_room_for_all() -> None:
    """For as long as one may wait; a refusal says that there was not."""
    room, clock = waiting_room()
    room.in_vain()
    clock.now += PATIENCE_SECONDS - 0.001
    assert full(room, MOST - 1)
    clock.now += PATIENCE_SECONDS - 0.001
    assert full(room, MOST - 1)
    clock.now += PATIENCE_SECONDS
    assert not full(room, MOST - 1)


def test_one_may_always_wait() -> None:
    """Else nothing would be served again after hash processes that stood still."""
    room, _ = waiting_room()
    room.in_vain()
    assert not full(room, 0)
    assert full(room, 1)


def test_an_overload_that_lasts_lets_in_what_can_be_served() -> None:
    """Ten times of what can be served comes for a minute: nearly all of what is let in is served.

    The first seconds are the crowd's, which nobody can tell from an overload.
    """
    room, clock = waiting_room()
    queue: list[float] = []
    served = vain = refused = 0
    for step in range(60_000):  # milliseconds
        clock.now = step / 1000
        if not full(room, len(queue)):  # a thousand a second come
            queue.append(clock.now)
        else:
            refused += 1
        while queue and clock.now - queue[0] > PATIENCE_SECONDS:
            queue.pop(0)
            room.in_vain()
            vain += 1
        if step % 10 == 0 and queue:  # a hundred a second are served
            queue.pop(0)
            room.served()
            served += 1
    assert served >= 5_900
    assert vain < 1_200
    assert refused > 50_000


def test_no_source_takes_all_the_room() -> None:
    """One alone has half, and others find room then, also where fewer may wait."""
    room, clock = waiting_room()
    assert not room.full(MOST // 2 - 1, MOST // 2 - 1, 1)
    assert room.full(MOST // 2, MOST // 2, 1)
    assert not room.full(MOST // 2, 0, 2)
    for _ in range(100):
        room.served()
    room.in_vain()
    assert not room.full(99, 99, 1)
    assert room.full(100, 100, 1)
    assert room.full(101, 50, 3)
    assert clock.now == 0.0


def test_what_a_source_has_waiting_keeps_no_other_one_out() -> None:
    """Its hundreds fill the room before anybody has waited in vain, and are still there then.

    Another's first request has the turn after the next one, however many these are.
    """
    room, _ = waiting_room()
    for _ in range(100):
        room.served()
    room.in_vain()
    assert room.full(MOST // 2, MOST // 2, 1)
    assert not room.full(MOST // 2, 0, 2)
    assert room.full(MOST, 0, 2)
