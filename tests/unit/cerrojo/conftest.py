"""What holds for all tests of the command."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the environment counts, and the log of the tests stays as it is."""
    monkeypatch.setenv("CERROJO_DATA_DIR", str(tmp_path / "data"))
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CERROJO_OPERATOR_URL"):
        monkeypatch.delenv(name, raising=False)
    for module in ("cerrojo.config", "cerrojo.__main__"):
        monkeypatch.setattr(f"{module}.configure", lambda *_: None)
