"""Names by which a port is asked."""

from __future__ import annotations

import pytest

from processes.host_header import is_ours


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("localhost:5000", True),
        ("cerrojo.localhost", True),
        ("gateway:5000", False),
        ("workers", True),
        ("wpad", False),
        ("ai:80", False),
        ("localhost.example.com", False),
        ("xlocalhost", False),
        ("", True),
        ("ops.example.org:5000", True),
        ("OPS.example.org", True),
        ("login.example.org", True),
        ("x.login.example.org", False),
        ("example.org", False),
        ("evil.example.com:5000", False),
        ("127.0.0.1.example.com", False),
        ("[::1.x", False),
        ("[::1].evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("127.0.0.1#.evil.example", False),
        ("127.0.0.1 evil.example", False),
        ("[::1]:5000]", False),
    ],
)
def test_hosts_that_are_ours(host: str, ours: bool) -> None:
    """A name that others can own or answer for is refused, but for the configured ones."""
    assert is_ours(host, {"ops.example.org", "login.example.org", "workers"}) is ours
