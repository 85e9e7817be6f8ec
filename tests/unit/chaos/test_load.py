"""The clients of a chaos run, as far as they do not ask anybody."""

from __future__ import annotations

import asyncio

import pytest

from events.partitioner import partition_of
from loadtest import histories
from tests.chaos import load as module
from tests.chaos.load import PROBES, Load
from tests.chaos.world import MOST_PARTITIONS, PARTITIONS, RULES, Door
from tests.harness.operators import OPERATOR


class Session:
    """Gives one answer, after which the clients have had enough."""

    def __init__(self, load: Load, status: int = 200, body: bytes = b"") -> None:
        self.load, self.status, self.body = load, status, body

    def get(self, _: str, headers: object) -> Session:
        assert headers == OPERATOR, "without a token it is 401"
        self.load._enough.set()
        return self

    async def __aenter__(self) -> Session:
        """Be the answer, too."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is to be closed."""

    async def read(self) -> bytes:
        return self.body

    async def close(self) -> None: ...


@pytest.mark.parametrize("used", range(PARTITIONS, MOST_PARTITIONS + 1))
def test_probes_follow_a_resize(used: int) -> None:
    """An answered probe of every partition says that every one of them is read."""
    load = Load([], seed=1)
    load.partitions = used
    for partition in range(used):
        names = load.probe_names(partition)
        assert {partition_of(name, used) for name in names} == {partition}
        assert len(set(names)) == PROBES


def test_a_client_that_dies_is_not_forgotten():
    """Else a run in which nobody asks any more has no differences."""

    async def dies() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        load = Load([], seed=1)
        load._session = load._fresh = Session(load)  # type: ignore[assignment]
        await asyncio.wait([load._spawn(dies())])
        await load.stop()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())


def read_the_list(status: int, body: bytes) -> list[str]:
    """What the judge says where GET /blocked answers this."""
    load = Load([Door("http://login", "http://operator")], seed=1)
    load._session = Session(load, status, body)  # type: ignore[assignment]
    asyncio.run(load._reader())
    return [sentence for _, sentence in histories.gaps(load.calls, RULES)]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader reads at once."""
    monkeypatch.setattr(module, "LIST_PAUSE", 0)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    ("status", "right"), [(200, True), (503, True), (404, False), (500, False)]
)
def test_the_judge_refuses_what_the_list_never_answers(status: int, right: bool):
    """Also 404, with which a call is noted for who is not in a list."""
    found = read_the_list(status, b'{"users-blocked":[]}')
    assert found == [] if right else f"answered {status}, which is never right" in found[0]


@pytest.mark.usefixtures("no_pause")
def test_a_list_that_cannot_be_read_is_an_error():
    """It is no list in which nobody is."""
    with pytest.raises(ValueError, match="Expecting value"):
        read_the_list(200, b"<html>")
