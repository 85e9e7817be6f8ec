"""The examples for the description of the API; `test_openapi.py` holds them against the schemas."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.web.cursors import after
from gateway.web.examples import ANSWERS, CURSOR, NOT_READY
from gateway.web.operator_app import operator_app
from gateway.web.resources import health
from gateway.web.resources.attempts import _place
from gateway.web.schemas import Readiness
from settings import Settings


def test_the_cursor_is_one() -> None:
    """Whoever decodes it finds a place."""
    assert after({"after": CURSOR}, _place) == (1_795_858_200_125, 1, 17, 3)


def test_those_of_readiness_have_the_parts_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever alerts on one of them finds its name there."""

    async def ok(_here: object) -> str:
        return "ok"

    monkeypatch.setattr(health, "_postgres", ok)
    monkeypatch.setattr(health, "_kafka", ok)
    monkeypatch.setattr(health, "_workers", lambda _here: "ok")

    async def ask() -> Any:
        app = operator_app(cast(Any, SimpleNamespace(settings=Settings())))
        answer = await app.test_client().get("/readyz", headers={"Host": "localhost"})
        return json.loads(await answer.get_data())

    parts = asyncio.run(ask())["parts"]
    for example in (*ANSWERS[Readiness].values(), NOT_READY):
        assert list(cast(Readiness, example).parts) == list(parts)
