"""Imports libraries without what they load for uses that no process here has.

Each process starts sooner by it, and is smaller.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Let an import meanwhile find these stand-ins, or no module where there is None.

    A module that is loaded already is found, and afterwards all are again.
    """
    hidden = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None: Python finds no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def load_structlog() -> None:
    """Import structlog without rich, by which it would show exceptions to people in colors.

    And without greenlets, for whose own variables it looks. That is a fifth of the start of a small
    process, and 5 MB [measured].
    """
    with without({"rich": None, "greenlet": None}):
        importlib.import_module("structlog")


def load_prometheus() -> None:
    """Import prometheus_client without the servers that it has, and what they stand on.

    Ours are others. That is 3 MB of a small process [measured].
    """
    servers = ("http.server", "urllib.request", "wsgiref.simple_server", "ssl")
    with without({name: _StandIn(name) for name in servers}):
        importlib.import_module("prometheus_client")


class _StandIn(ModuleType):
    """A module that has every name, for a class without anything."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def load_quart() -> None:
    """Import Quart without Hypercorn, its own server for development: Granian serves here.

    That is a tenth of the start of a login process, and 2 MB [measured].
    """
    server = ModuleType("hypercorn.asyncio")
    server.serve = None  # type: ignore[attr-defined]
    with without({server.__name__: server}):
        importlib.import_module("quart")
