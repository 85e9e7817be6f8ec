"""The system that the login pages ask."""

from tests.acceptance.conftest import start_system, system

__all__ = ["start_system", "system"]
