"""`python -m sql`: bring the database up to date."""

from __future__ import annotations

import sys

import psycopg

import settings
from sql.migrate import migrate


def main() -> int:
    """Apply the migrations; 0 when there is none left to apply."""
    try:
        applied = migrate(settings.load().require_database())
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"DATABASE_URL: the migrations could not be applied: {error}", file=sys.stderr)
        return 1
    print(f"Applied {', '.join(applied)}." if applied else "There is nothing to apply.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
