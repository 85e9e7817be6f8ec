"""The pages of the operator port: read once, served from memory."""

from __future__ import annotations

import mimetypes
from importlib.resources import files

HEADERS = {
    # Everything comes from this port, and nothing may be put around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def read_all() -> dict[str, tuple[bytes, str]]:
    """Every file in gateway/static by its name: its bytes and its content type."""
    return {
        file.name: (file.read_bytes(), _content_type(file.name))
        for file in (files("gateway") / "static").iterdir()
        if file.is_file()
    }


def _content_type(name: str) -> str:
    if name.endswith(".js"):
        return "text/javascript; charset=utf-8"  # whatever this machine's own table says
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
