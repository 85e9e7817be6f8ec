"""A short fuzz of every decoder; the long one is `make fuzz`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

from events.messages import (
    AttemptsMessage,
    BlocksMessage,
    Message,
    Outcome,
    Outcomes,
    Policy,
    SetPolicy,
    decode_attempts,
    decode_blocks,
    decode_sources,
)
from tests.fuzz import decoders, finding
from tests.fuzz.decoders import TARGETS, Target
from tests.fuzz.finding import FoundError


def test_whatever_comes_is_a_message_or_refused():
    """Of each topic, and between the processes of a host; and what acts on messages goes on."""
    counts = decoders.run(1, 20_000)
    for target in TARGETS:
        each = 20_000 // len(TARGETS)
        assert 100 < counts[f"{target.name}, messages"] < counts[target.name] == each


EXAMPLES = {target.name: target.example for target in TARGETS}


def examples(topic: str) -> list[bytes]:
    """Enough of them for everything that is chosen by chance."""
    random = Random(1)
    return [EXAMPLES[topic](random) for _ in range(3_000)]


def all_is_made(made: Sequence[Any], *kinds: type) -> None:
    """Each kind, and something in each part that need not be there."""
    for kind in kinds:
        of_kind = [message for message in made if type(message) is kind]
        assert of_kind, f"no {kind.__name__}"
        required = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
        optional = zip(kind.__struct_fields__[required:], kind.__struct_defaults__, strict=True)
        idle = [f for f, default in optional if all(getattr(m, f) == default for m in of_kind)]
        assert not idle, f"{kind.__name__} never has {idle}"


@pytest.mark.parametrize(
    ("topic", "decode", "kinds"),
    [
        ("attempts", decode_attempts, get_args(AttemptsMessage)),
        ("blocks", decode_blocks, get_args(BlocksMessage)),
        ("sources", decode_sources, (Outcomes,)),
    ],
)
def test_the_examples_have_each_kind_of_message_and_each_part_of_it(
    topic: str, decode: Callable[[bytes], Message], kinds: Sequence[type]
):
    """What no example has, is never broken."""
    all_is_made([decode(value) for value in examples(topic)], *kinds)


def test_the_examples_have_each_part_of_a_policy_and_an_outcome():
    """Which are in others."""
    messages = map(decode_attempts, examples("attempts"))
    all_is_made([m.policy for m in messages if isinstance(m, SetPolicy)], Policy)
    outcomes = map(decode_sources, examples("sources"))
    all_is_made([outcome for message in outcomes for outcome in message.outcomes], Outcome)


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
