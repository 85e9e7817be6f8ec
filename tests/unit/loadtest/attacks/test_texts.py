"""What a name's answers tell is noticed, and what a text costs."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from loadtest.attacks import texts
from tests.unit.loadtest.attacks.fake import FakePort, Reply, attacked


class Telling(FakePort):
    """Answers for an unknown name otherwise: by a status, a header or a word."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def login(self, user: str, password: str, headers: Mapping[str, str]) -> Reply:
        """The answer to a login."""
        status, more, said = super().login(user, password, headers)
        if user in self.passwords or status != 401:
            return status, more, said
        return {
            "a status": (404, more, said),
            "a header": (status, {"X-Unknown": "1"}, said),
            "a word": (status, more, {"error": "Unknown user"}),
        }[self.how]


class Slow(FakePort):
    """Takes long over letters that few write."""

    def login(self, user: str, password: str, headers: Mapping[str, str]) -> Reply:
        """The answer to a login."""
        if "\ufdfa" in user:
            time.sleep(2 * texts.MOST_SECONDS)
        return super().login(user, password, headers)


@pytest.mark.parametrize("how", ["a status", "a header", "a word"])
def test_an_answer_that_tells_of_a_name_is_a_broken_promise(how: str) -> None:
    """And the first difference is said."""
    outcome = attacked(Telling(how), texts.telling_answers)
    assert not outcome.held
    assert "try 1" in outcome.happened
    assert attacked(FakePort(), texts.telling_answers).held


def test_a_text_that_takes_long_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """And which one is said."""
    few = dict(list(texts.COSTLY.items())[:3])
    monkeypatch.setattr(texts, "COSTLY", few)
    monkeypatch.setattr(texts, "LONGEST", 300)
    assert attacked(FakePort(1_000), texts.costly_texts).held
    outcome = attacked(Slow(1_000), texts.costly_texts)
    assert not outcome.held
    assert "a word of 18 letters in one" in outcome.happened
