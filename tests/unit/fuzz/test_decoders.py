"""A short fuzz of every decoder; the long one is `make fuzz`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import decoders, finding
from tests.fuzz.decoders import TARGETS, Target
from tests.fuzz.finding import FoundError


def test_whatever_comes_is_a_message_or_refused():
    """Of each topic, and between the processes of a host; and what acts on messages goes on."""
    counts = decoders.run(1, 20_000)
    for target in TARGETS:
        assert 100 < counts[f"{target.name}, messages"] < counts[target.name] == 4_000


def test_the_same_seed_gives_the_same_inputs():
    """A finding on one machine is one on each."""
    assert decoders.run(5, 2_000) == decoders.run(5, 2_000) != decoders.run(6, 2_000)


def test_the_input_that_breaks_something_is_kept_alone(tmp_path: Path):
    """Not the five hundred that it came with; and its file is what repeats it."""

    def check(values: Sequence[bytes]) -> int:
        if any(value.endswith(b"7") for value in values):
            raise RuntimeError("it broke")
        return 0

    target = Target("mine", lambda random: str(random.randrange(10)).encode(), check)
    inputs = [target.example(Random(3)) for _ in range(9)] + [b"47", b"17"]
    with pytest.raises(FoundError, match="mine: RuntimeError") as found:
        decoders.try_all(target, inputs)
    kept = found.value.keep(tmp_path)
    assert finding.read(kept) == ("mine", (b"47",))
