"""Asks Cerrojo for the verdict about a login that checks its own passwords.

`Cerrojo` and `AsyncCerrojo` need only httpx. The modules `django`, `starlette` (also for FastAPI),
`flask`, `wsgi` and `asgi` each put a client before a login of that kind.
"""

from __future__ import annotations

from cerrojo_client.client import AsyncCerrojo, Cerrojo
from cerrojo_client.conversation import CerrojoError
from cerrojo_client.verdict import PASS, REFUSE, Kind, OnUndecided, Verdict

__all__ = [
    "PASS",
    "REFUSE",
    "AsyncCerrojo",
    "Cerrojo",
    "CerrojoError",
    "Kind",
    "OnUndecided",
    "Verdict",
]
