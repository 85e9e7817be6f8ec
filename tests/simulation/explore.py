"""Every schedule of a scenario, by depth first search: FoundationDB's way, on a small world.

A schedule is replayed from its choices. Where two of them meet in the same state (the same
world, and owners with the same past), what follows is explored once; they are counted all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.simulation.schedule import Choice, Scenario, Schedule
from tests.simulation.system import Play, System
from tests.simulation.world import Violation

TOO_LONG = 1_000


class Explored(NamedTuple):
    """How much was seen."""

    schedules: int
    """Orders of events, all of which are covered."""
    states: int
    runs: int
    """Schedules that were executed to cover them."""

    def __str__(self) -> str:
        """For people."""
        covered = f"{self.schedules:,} schedules" if self.schedules else "more than was allowed"
        return f"{covered}: {self.states:,} states in {self.runs:,} executed ones"


class FailedError(AssertionError):
    """A schedule did not end as it must; the message has its choices."""


def begin(scenario: Scenario | Play) -> Schedule:
    """A schedule of owners, or of a whole system."""
    return System(scenario) if isinstance(scenario, Play) else Schedule(scenario)


def explore(scenario: Scenario | Play, limit: int | None = None) -> Explored:
    """All schedules, or as many as ``limit`` runs cover (0 schedules are said then)."""
    todo: list[tuple[tuple[Choice, ...], int]] = [((), 0)]
    edges: dict[int, list[int]] = {}
    runs = 0
    root = 0
    while todo:
        if limit is not None and runs >= limit:
            return Explored(0, len(edges), runs)
        path, came_from = todo.pop()
        runs += 1
        schedule = begin(scenario)
        try:
            for choice in path:
                schedule.do(choice)
            while True:
                key = schedule.key()
                if came_from:
                    edges[came_from].append(key)
                else:
                    root = key
                if key in edges:
                    break
                edges[key] = []
                choices = schedule.choices()
                if len(path) > TOO_LONG:
                    raise Violation("the owners do not come to an end")
                if not choices:
                    schedule.settle()
                    break
                todo += [((*path, choice), key) for choice in choices[:0:-1]]
                path, came_from = (*path, choices[0]), key
                schedule.do(choices[0])
        except Exception as error:
            raise _failed(error, path) from error
        finally:
            schedule.close()
    return Explored(_count(edges, root), len(edges), runs)


def wander(scenario: Scenario | Play, dice: bytes) -> None:
    """One schedule, each choice by a random byte."""
    schedule = begin(scenario)
    trail: list[Choice] = []
    try:
        for byte in dice:
            choice = schedule.pick(byte)
            if choice is None:
                break
            trail.append(choice)
            schedule.do(choice)
        schedule.settle()
    except Exception as error:
        raise _failed(error, trail) from error
    finally:
        schedule.close()


def run(scenario: Scenario | Play, choices: Sequence[str]) -> None:
    """One schedule again, by the choices that were printed."""
    schedule = begin(scenario)
    try:
        for said in choices:
            what, owner, how = said.rsplit(":", 2)
            schedule.do(Choice(what, int(owner), int(how)))
        schedule.settle()
    finally:
        schedule.close()


def _failed(error: Exception, choices: Sequence[Choice]) -> Exception:
    said = ", ".join(f'"{choice}"' for choice in choices)
    message = f"{error}\nThe choices, for run(scenario, [...]): [{said}]"
    return FailedError(message) if isinstance(error, Violation) else RuntimeError(message)


def _count(edges: dict[int, list[int]], root: int) -> int:
    """How many ways lead from the root to an end."""
    ways: dict[int, int] = {}
    todo = [root]
    while todo:
        key = todo[-1]
        missing = [to for to in edges[key] if to not in ways]
        if missing:
            todo += missing
        else:
            ways[key] = sum(ways[to] for to in edges[key]) or 1
            todo.pop()
    return ways[root]
