"""Which Cerrojo this is: the one place of its version, and the commit where that is known.

Tests hold to it what cannot read it: the Dockerfile and the Helm chart.
"""

from __future__ import annotations

import os

VERSION = "0.1.0"

COMMIT = os.environ.get("CERROJO_COMMIT") or "unknown"
"""The commit of the source, as the image's build was given it; git is asked nothing."""


def describe() -> str:
    """Both, for people: what `--version` prints."""
    return f"Cerrojo {VERSION} (commit {COMMIT})"
