"""The roles in Postgres, one for each part; sql/rights.sql says what each may do."""

from __future__ import annotations

GATEWAY = "cerrojo_gateway"
"""The processes of the login port."""

OPERATOR = "cerrojo_operator"
"""The process of the operator port."""

WORKERS = "cerrojo_workers"
"""The workers and their supervisor."""

ROLES = (GATEWAY, OPERATOR, WORKERS)
