"""What a process manager is told of a gateway's process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import services as services_module
from gateway.blocklist.blocklist import Blocklist
from gateway.services import Services
from gateway.web.operator_app import operator_app
from settings import Settings


def test_a_process_has_started_though_a_partition_has_no_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes kills what does not start: that would take gateways from all other accounts."""
    monkeypatch.setattr(services_module, "FRESH_SECONDS", 0.0)

    async def ask() -> list[int]:
        services = object.__new__(Services)  # without its connections
        services.settings = Settings()
        services.blocklist = Blocklist()
        services.blocklist.partitions = 2  # no heartbeat of either
        ready = asyncio.get_running_loop().create_future()
        services.verdict_client = services.blocklist_consumer = cast(
            Any, SimpleNamespace(ready=ready)
        )
        client = operator_app(services).test_client()
        statuses = []
        for loads in (False, True):
            if loads:
                ready.set_result(None)
                await services.loaded()
            answer = await client.get("/startz", headers={"Host": "localhost"})
            statuses.append(answer.status_code)
        return statuses

    assert asyncio.run(ask()) == [503, 200]
