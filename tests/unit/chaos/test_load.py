"""The clients of a chaos run, as far as they do not ask anybody."""

from __future__ import annotations

import pytest

from events.partitioner import partition_of
from tests.chaos.load import PROBES, Load
from tests.chaos.world import MOST_PARTITIONS, PARTITIONS


@pytest.mark.parametrize("used", range(PARTITIONS, MOST_PARTITIONS + 1))
def test_probes_follow_a_resize(used: int) -> None:
    """An answered probe of every partition says that every one of them is read."""
    load = Load([], seed=1)
    load.partitions = used
    for partition in range(used):
        names = load.probe_names(partition)
        assert {partition_of(name, used) for name in names} == {partition}
        assert len(set(names)) == PROBES
