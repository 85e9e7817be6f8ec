"""The questions of a run to its system, before one that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from loadtest import system as module
from loadtest.system import CannotStartError, System

Answer = tuple[int, str]
REFUSAL = 429, '{"error": "Too many", "code": "source_refused"}'
BUSY = 503, '{"error": "Busy"}'


class Scripted(System):
    """Answers by a function of the URL, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str], Answer], token: str = "") -> None:
        super().__init__("http://login/", "http://operator/", 5.0, token)
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []

    def _ask(self, url: str, body: bytes | None = None, **headers: str) -> Answer:
        self.asked.append((url, headers))
        return self.answer(url)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before asking again."""
    monkeypatch.setattr(module.time, "sleep", lambda _: None)


def in_turn(*answers: Answer) -> Callable[[str], Answer]:
    """These, one for each question."""
    left = iter(answers)
    return lambda _: next(left)


def test_reads_of_the_operator_port_have_the_token() -> None:
    """A system on another host wants it of every read, and the login port never hears it."""
    policy = {
        "why": "1 wrong passwords in a row",
        "until": None,
        "users-blocked": [],
        "sources": [],
    }

    def answer(url: str) -> Answer:
        return (200, json.dumps(policy)) if url.startswith("http://operator/") else (429, "")

    system = Scripted(answer, token="of ana")
    system.rules("probe")
    system.lookup("ana")
    system.blocked()
    system.attacks()
    operators = [headers for url, headers in system.asked if url.startswith("http://operator/")]
    assert operators == [{"Authorization": "Bearer of ana"}] * 4
    assert ("http://login/login", {}) in system.asked


@pytest.mark.parametrize("status", [401, 403])
def test_a_look_that_takes_a_token_names_its_setting(status: int) -> None:
    """Else the run stops at the probe, and nobody knows why."""
    system = Scripted(lambda url: (status if "blocked" in url else 429, "no"))
    with pytest.raises(
        CannotStartError, match=f"answered {status}: no. Set CERROJO_OPERATOR_TOKEN"
    ):
        system.rules("probe")


def test_a_scenario_that_lifts_blocks_needs_a_token() -> None:
    """Or it runs to its end, and is then told 401."""
    with pytest.raises(CannotStartError, match="CERROJO_OPERATOR_TOKEN_FILE"):
        Scripted(in_turn()).require_token()
    Scripted(in_turn(), token="of ana").require_token()


def test_a_limit_of_this_host_names_its_settings() -> None:
    """By that of the path that refuses it."""
    system = Scripted(lambda _: REFUSAL)
    with pytest.raises(CannotStartError, match="SOURCE_EXEMPT, or raise CERROJO_SOURCE_REGIST"):
        system.register([("ana", "secret")])
    with pytest.raises(CannotStartError, match="SOURCE_EXEMPT, or raise CERROJO_SOURCE_FAILURES"):
        system.rules("probe")


def test_a_registration_that_was_answered_503_may_have_been_made() -> None:
    """Then its repetition finds the name taken, and only then."""
    Scripted(in_turn(BUSY, (409, ""))).register([("ana", "secret")])
    with pytest.raises(CannotStartError, match="did not register ana: 409"):
        Scripted(in_turn((409, ""))).register([("ana", "secret")])


def test_a_look_that_is_answered_503_is_asked_again() -> None:
    """A gateway says that of a moment, and the run is judged by what comes after it."""
    assert Scripted(in_turn(BUSY, (404, ""))).lookup("ana") == 404
    page = 200, '{"users-blocked": ["ana"]}'
    assert Scripted(in_turn(BUSY, page)).blocked() == (200, {"ana"})
    assert Scripted(in_turn((500, ""))).blocked() == (500, set())
