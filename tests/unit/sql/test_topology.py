"""Commands that exclude each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import psycopg

from sql.topology import exclusive_command


def test_a_command_that_succeeded_is_no_failure_where_its_connection_is_gone():
    """Somebody would run it again; the lock has ended with the session."""

    def execute(query: str, _: object) -> Any:
        if "unlock" in query:
            raise psycopg.OperationalError("the connection is lost")
        return SimpleNamespace(fetchone=lambda: (True,))

    done = False
    with exclusive_command(cast(Any, SimpleNamespace(execute=execute))) as alone:
        done = alone
    assert done
