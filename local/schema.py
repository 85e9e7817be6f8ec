"""`python -m local.schema`: write sql/schema.sql, the whole of today's schema to read.

It is what the migrations make of an empty database; nothing is built from it. A test compares it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from local.postgres import BINARIES
from local.servers import Servers
from sql.migrate import migrate

FILE = Path(__file__).parents[1] / "sql" / "schema.sql"

HEADER = """\
-- The whole of today's schema, to read. `python -m local.schema` makes it from the migrations.
-- The audit's partition of each day is left out.

"""


def dump(database_url: str) -> str:
    """The schema of a migrated database. Raises ``CalledProcessError``."""
    command = [
        *(str(BINARIES / "pg_dump"), "--schema-only", "--no-owner", "--no-privileges"),
        *("--exclude-table=*yoyo*", "--exclude-table=audit_2*", f"--dbname={database_url}"),
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [
        line
        for line in text.splitlines()
        # The server's version, a key that is new each time, and what holds for every dump.
        if not re.match(r"--|SET |SELECT pg_catalog|\\(un)?restrict", line)
        and not re.search(r"audit_2\d{7}", line)
    ]
    return HEADER + re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def main() -> int:
    """Write it anew."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Servers(Path(folder), Path(".cerrojo") / "cache") as servers,
    ):
        migrate(servers.database_url)
        FILE.write_text(dump(servers.database_url))
    print(f"{FILE} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
