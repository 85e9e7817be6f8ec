"""The token of this machine's operator, which `make up` makes anew at each start."""

from __future__ import annotations

from pathlib import Path

import psycopg

from gateway.operators import Role, digest_of, new_token
from gateway.postgres.operator_tokens import add_token
from local.private_file import write_private
from sql.connection import connection_options

NAME = "make-up"
DAYS = 365


def renew(database_url: str, file: Path) -> None:
    """Put a new one into this file, for its owner only, and end the one before it.

    Raises ``psycopg.Error`` and OSError.
    """
    token = new_token()
    with psycopg.connect(database_url, autocommit=True, **connection_options("make up")) as known:
        digest = digest_of(token.encode())
        add_token(known, NAME, Role.ADMINISTER, digest, DAYS, replace=True)
    write_private(file, f"{token}\n")
