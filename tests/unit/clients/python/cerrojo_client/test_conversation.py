"""What is sent again, and when that ends."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import pytest

from cerrojo_client.conversation import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Answer,
    CerrojoError,
    Decided,
    Heard,
    TimeLeft,
    Undecided,
    Unusable,
    converse,
)

DUE = 10.0
BROKEN = httpx.ReadError("broken")


class Clock:
    """Goes on by what a conversation waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def hold(responses: Iterable[Heard]) -> tuple[Answer, list[httpx.Request | float]]:
    """What comes of a conversation with these responses, and its steps."""
    clock = Clock()
    conversation = converse(httpx.Request("POST", "http://cerrojo/attempts"), DUE, clock)
    steps: list[httpx.Request | float] = []
    coming = iter(responses)
    response: Heard = None
    try:
        while True:
            steps.append(step := conversation.send(response))
            response = None
            if isinstance(step, float):
                clock.now += step
            else:
                response = next(coming)
    except StopIteration as end:
        answer: Answer = end.value
        assert clock.now < DUE
        return answer, steps


def requests(steps: list[httpx.Request | float]) -> list[httpx.Request]:
    """What was sent."""
    return [step for step in steps if isinstance(step, httpx.Request)]


def waits(steps: list[httpx.Request | float]) -> list[float]:
    """The seconds of each wait."""
    return [step for step in steps if isinstance(step, float)]


def test_a_decision_is_returned_at_once():
    """And asked for once."""
    answer, steps = hold([httpx.Response(200, json={"verdict": "accepted"})])
    assert answer == Decided({"verdict": "accepted"})
    assert len(steps) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_decides_nothing_is_asked_again_by_the_same_request(status: int):
    """The key is in it, so it is one attempt; a proxy's error may have any body."""
    answer, steps = hold(
        [httpx.Response(status, text="<html>"), BROKEN, httpx.Response(200, json={"a": 1})]
    )
    assert answer == Decided({"a": 1})
    assert len(requests(steps)) == 3
    assert len({id(request) for request in requests(steps)}) == 1


def test_the_wait_is_what_the_answer_asks_for():
    """And a little more, so that many clients do not come back at the same moment."""
    later = httpx.Response(503, headers={"Retry-After": "3"}, json={})
    _, steps = hold([later, httpx.Response(200, json={})])
    assert 3 <= waits(steps)[0] <= 3 + FIRST_PAUSE_SECONDS


def test_a_wait_beyond_the_deadline_is_not_begun():
    """The person hears of it now."""
    answer, steps = hold([httpx.Response(503, headers={"Retry-After": "60"}, json={})])
    assert answer == Undecided(60)
    assert waits(steps) == []


def test_broken_connections_are_tried_until_the_deadline(caplog: pytest.LogCaptureFixture):
    """With pauses that grow, not without end, and the log says what went wrong."""
    refused = httpx.ConnectError("certificate verify failed")
    answer, steps = hold(refused for _ in iter(int, 1))
    assert answer == Undecided(1)
    assert "certificate verify failed" in caplog.text
    assert 10 < len(requests(steps)) < 200
    assert max(waits(steps)) <= LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize("status", [400, 413, 414, 431])
def test_a_name_that_cerrojo_does_not_take_is_no_error_of_the_caller(status: int):
    """People type such names."""
    answer, _ = hold([httpx.Response(status, json={"error": "too short", "code": "invalid"})])
    assert answer == Unusable("too short")


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (
            httpx.Response(401, json={"error": "No such token", "code": "unauthorized"}),
            "unauthorized",
        ),
        (httpx.Response(403, json={"error": "Set it", "code": "not_enabled"}), "not_enabled"),
        (httpx.Response(409, json={"error": "Another body", "code": "key_reused"}), "key_reused"),
        (httpx.Response(400, text="plain HTTP was sent to the HTTPS port"), "unexpected"),
        (httpx.Response(404, text="<html>"), "unexpected"),
        (httpx.Response(301, headers={"Location": "https://cerrojo/"}), "unexpected"),
        (httpx.Response(200, text="hello"), "unexpected"),
    ],
)
def test_a_mistake_in_the_set_up_is_raised(response: httpx.Response, code: str):
    """No retry mends it, and no login may go on with it."""
    with pytest.raises(CerrojoError) as raised:
        hold([response])
    assert (raised.value.status, raised.value.code) == (response.status_code, code)


def test_each_step_has_the_time_that_is_left():
    """httpx looks a timeout up when its step begins."""
    clock = Clock()
    left = TimeLeft(DUE, clock)
    assert (left.get("pool"), left.get("connect")) == (DUE, CONNECT_SECONDS)
    assert left.get("read") == ANSWER_SECONDS < DUE  # so that a second gateway is asked
    clock.now = 9.0
    assert (left.get("read"), left.get("connect")) == (1.0, 1.0)
    clock.now = 11.0
    assert 0 < left.get("read") < 0.01


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, '{"a":' + 5000 * "1" + "}"),
        ({}, 100_000 * "["),
        ({"Retry-After": 400 * "9"}, "{}"),
    ],
    ids=["a number", "nesting", "a time"],
)
def test_an_answer_that_no_program_can_read_is_asked_for_again(headers: dict[str, str], text: str):
    """Something between may send anything; the login hears what was promised to it."""
    answer, steps = hold(httpx.Response(503, headers=headers, text=text) for _ in iter(int, 1))
    assert answer == Undecided(1)
    assert len(requests(steps)) > 1
