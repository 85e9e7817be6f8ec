"""The modules that a login process has in memory."""

from __future__ import annotations

from tests.harness.imports import LEFT_OUT, loaded

LATER = "gateway.web.login_app, gateway.web.server"
"""When it has its slot of the metrics."""


def test_a_login_process_loads_nothing_that_it_does_not_use() -> None:
    """Each of these costs megabytes in every process, and time at its start.

    The document is made by the operator's process, and hashes by processes of their own.
    """
    modules = loaded("gateway.process as process; process.load_quart(); import " + LATER)
    assert "quart" in modules
    assert not modules & {"argon2", "cryptography", "joserfc", "pydantic", "quart_schema", "yoyo"}
    assert not modules & {"priority", "wsproto", *LEFT_OUT}  # of Hypercorn's HTTP/2 and WebSockets
