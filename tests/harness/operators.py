"""An operator of the systems of the tests."""

from __future__ import annotations

import psycopg

from gateway.operators import Role, digest_of
from gateway.postgres.operator_tokens import add_token

OPERATOR_TOKEN = "an-operators-token-of-the-tests"
"""With which each of these systems' operator ports may be asked for everything."""

OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
"""The header that has it."""


def add_operator(
    database_url: str,
    name: str = "tests",
    token: str = OPERATOR_TOKEN,
    role: Role = Role.ADMINISTER,
) -> None:
    """Let an operator in by this token, in place of the one before of this name."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        add_token(connection, name, role, digest_of(token.encode()), days=1, replace=True)
