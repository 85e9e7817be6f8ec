"""What processes leave out of their memory and their start; the tests of some have more of it."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from cerrojo.__main__ import MODULES
from processes.lean_imports import without
from tests.harness.imports import LEFT_OUT, loaded


@pytest.mark.parametrize(
    ("modules", "never"),
    [
        ("gateway.__main__, gateway.supervisor_metrics", {"confluent_kafka", "psycopg", "quart"}),
        (
            "gateway.passwords.hash_service, gateway.passwords.hash_metrics",
            {"confluent_kafka", "psycopg", "quart", "uvloop"},
        ),
        ("workers.__main__, workers.supervisor.supervisor", {"argon2", "quart"}),
        ("workers.partition.worker, workers.partition.clients", {"html", "mimetypes"}),
        ("events.__main__", {"quart", "yoyo"}),
        ("sql.__main__", {"confluent_kafka", "quart"}),
    ],
)
def test_no_process_loads_what_it_does_not_use(modules: str, never: set[str]) -> None:
    """A system has a dozen processes: what one loads costs megabytes, and time at the start."""
    assert not loaded(modules) & (never | LEFT_OUT)


def test_a_command_starts_without_cryptography() -> None:
    """A sixth of its start, and only a few need it."""
    every = ", ".join(f"cerrojo.{module}" for module in sorted({"__main__", *MODULES.values()}))
    assert not loaded(every) & {"cryptography", "joserfc", "quart"}
    assert not loaded("cerrojo.__main__, cerrojo.log") & {"oracle", "yoyo"}


def test_what_was_left_out_can_be_loaded_later() -> None:
    """Only the import meanwhile is without it."""
    stand_in = ModuleType("a_module")
    with without({"a_module": stand_in, "tabnanny": None, "sys": None}):
        import a_module  # type: ignore[import-not-found]

        assert a_module is stand_in
        assert sys.modules["sys"] is sys  # it is loaded already
        with pytest.raises(ImportError):
            import tabnanny
    import tabnanny

    assert tabnanny.check
    assert "a_module" not in sys.modules
