"""What was counted most is found in bounded memory, with an error that is known."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.space_saving import SpaceSaving, heaviest

SIZE = 5
things = st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(1, 9)), max_size=200)


def counted(stream) -> SpaceSaving:
    """A sketch of these."""
    sketch = SpaceSaving(SIZE)
    for thing, times in stream:
        sketch.add(thing, times)
    return sketch


def truth(stream) -> Counter[str]:
    """How often each was counted."""
    found = Counter[str]()
    for thing, times in stream:
        found[thing] += times
    return found


@given(first=things, second=things)
def test_each_count_is_within_its_error_also_over_two_windows(first, second):
    """The answer says how far it may be off, and is never further off, nor too small."""
    true = truth(first + second)
    for thing, count, error in heaviest([counted(first), counted(second)], 100):
        assert count - error <= true[thing] <= count


@given(stream=things)
def test_whatever_has_more_than_its_share_is_there(stream):
    """Nobody who floods can be pushed out by others that are rare."""
    true = truth(stream)
    found = {heavy.key for heavy in heaviest([counted(stream)], SIZE)}
    assert {thing for thing, count in true.items() if count > true.total() / SIZE} <= found
    assert len(counted(stream).items()) <= SIZE


def test_the_heaviest_come_first():
    """An operator reads from the top."""
    sketch = counted([("a", 1), ("b", 5), ("c", 3)])
    assert heaviest([sketch], 2) == [("b", 5, 0), ("c", 3, 0)]


def test_the_memory_does_not_grow_with_what_is_counted():
    """Neither the counts nor what finds the rarest of them."""
    sketch = SpaceSaving(SIZE)
    for number in range(10_000):
        sketch.add(str(number % 977), 1 + number % 3)
    assert len(sketch.items()) == len(sketch._heap) == SIZE
