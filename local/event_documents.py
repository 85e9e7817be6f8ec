"""`python -m local.event_documents`: write docs/events.schema.json and docs/events.asyncapi.json.

Both are made from the code of the relay; a test compares them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from workers.relay.documents import asyncapi, json_schema

DOCS = Path(__file__).parents[1] / "docs"
FILES = {
    DOCS / "events.schema.json": json_schema,
    DOCS / "events.asyncapi.json": asyncapi,
}
"""The files, with what makes each."""


def written(document: dict[str, Any]) -> str:
    """As it stands in its file."""
    return json.dumps(document, indent=2) + "\n"


def main() -> int:
    """Write both anew."""
    for file, make in FILES.items():
        file.write_text(written(make()))
        print(f"{file} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
