"""`python -m sql`: bring the database up to date."""

from __future__ import annotations

import sys

import psycopg

import settings
from sql.migrate import OPTIONS, migrate, missing_roles


def main() -> int:
    """Apply the new migrations; the exit code."""
    try:
        url = settings.load().require_database()
        applied = migrate(url, lambda sentence: print(sentence, file=sys.stderr, flush=True))
        with psycopg.connect(url, **OPTIONS) as connection:
            missing = missing_roles(connection)
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"DATABASE_URL: the migrations could not be applied: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run it again: it goes on with what is not applied yet.", file=sys.stderr)
        return 130
    print(f"Applied {', '.join(applied)}." if applied else "All migrations are already applied.")
    if missing:
        print(
            f"This Postgres has no role {', '.join(missing)}, and DATABASE_URL names one that may "
            "make none: all parts can use the tables' owner only. docs/rights.md says how each "
            "part gets rights of its own."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
