"""Which faults, in which order: decided by a seed alone."""

from __future__ import annotations

import random
from collections.abc import Mapping


def plan(seed: int, count: int, shares: Mapping[str, int]) -> list[str]:
    """So many faults: one of each kind, as far as there is room, and the rest by their shares."""
    total = sum(shares.values())
    rest = max(0, count - len(shares))
    exact = {kind: 1 + rest * share / total for kind, share in shares.items()}
    counts = {kind: int(number) for kind, number in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: (counts[kind] - exact[kind], kind))
    for kind in by_remainder[: max(0, count - sum(counts.values()))]:
        counts[kind] += 1
    faults = [kind for kind, number in counts.items() for _ in range(number)]
    random.Random(seed).shuffle(faults)
    return faults[:count]


def luck_of(seed: int, number: int) -> random.Random:
    """The randomness of one fault, whatever the others used of theirs."""
    return random.Random(f"{seed} {number}")
