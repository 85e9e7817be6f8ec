"""A client's requests, before ports that only note them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import GreenletExit  # type: ignore[import-untyped]
from locust.env import Environment

from loadtest.client import Client
from loadtest.ledger import Rules
from loadtest.run import Run
from loadtest.system import System

LOGIN_URL, OPERATOR_URL = "http://login", "http://operator"
ADDRESS = "198.18.0.1"


class Ports:
    """Answers every request with one status, and keeps its URL and headers."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.cookiejar: dict[str, str] = {}

    @contextmanager
    def request(self, method: str, url: str, **request: Any) -> Iterator[Any]:
        """One answer, as Locust's session gives it."""
        self.asked.append((url, request.get("headers", {})))
        yield SimpleNamespace(
            status_code=self.status,
            headers={},
            content=b"",
            request_meta={},
            success=lambda: None,
            failure=lambda problem: None,
        )


class Asking(Client):
    """A client that does nothing by itself."""

    host = LOGIN_URL


@pytest.fixture
def client() -> Asking:
    """One before ports that answer 200."""
    Asking.run_ = Run(System(LOGIN_URL, OPERATOR_URL, 5.0, "a token"), "run", Rules(5, 900, 1800))
    made = Asking(Environment())
    made.client = Ports(200)
    return made


def test_only_the_login_port_hears_from_where_a_client_says_it_comes(client: Asking) -> None:
    """The operator port takes that for a proxy's request, of which it wants a token."""
    client.address = ADDRESS
    client.login("ana", right=True)
    client.sign_up("ben", "secret")
    client._look_up("ana")
    client.unblock("ana")
    told = {url: headers.get("X-Forwarded-For") for url, headers in client.client.asked}
    block = f"{OPERATOR_URL}/blocked/ana"
    assert told == {"/login": ADDRESS, "/register": ADDRESS, block: None}


def test_looks_and_unblockings_have_the_operators_token(client: Asking) -> None:
    """A system on another host wants it of both, and the login port of nobody."""
    client.login("ana", right=True)
    client._look_up("ana")
    client.unblock("ana")
    token = {"Authorization": "Bearer a token"}
    assert [headers for _, headers in client.client.asked] == [{}, token, token]


def test_a_login_that_the_end_of_the_run_cuts_off_says_how_long_it_waited(
    client: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that hangs is only seen by that."""

    def end(*_: Any, **__: Any) -> None:
        raise GreenletExit

    monkeypatch.setattr(client.client, "request", end)
    with pytest.raises(GreenletExit):
        client.login("ana", right=True)
    (attempt,) = client.run_.ledger.accounts["ana"].attempts
    assert attempt.status is None
    assert attempt.sent <= attempt.answered < inf


def test_clients_of_several_processes_share_their_numbers_out(client: Asking) -> None:
    """Else each process has its own office of 300 people, and two come to each account."""
    client.environment.create_local_runner()
    client.run_.processes = 3
    numbers = []
    for index in range(3):
        client.environment.runner.worker_index = index
        counts: dict[str, itertools.count[int]] = defaultdict(itertools.count)
        numbers += [client.take_number(counts) for _ in range(5)]
    assert sorted(numbers) == list(range(15))
