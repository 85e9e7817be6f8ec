"""The pages of the operator port: read once, served from memory.

They are those of gateway/web/static, and of Swagger UI, which shows the API, as the package
`flask-swagger-ui` has it: only its files are used, nothing of it is imported.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

HEADERS = {
    # Everything comes from this port, and nothing may be put around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # A browser asks each time whether it is still the same.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}

SWAGGER_UI = ("swagger-ui.css", "swagger-ui-bundle.js")
"""Its files that a page needs."""

_WORTH_IT = 1_024
"""Bytes from which on a file is compressed."""


class StaticFile(NamedTuple):
    """A file as it is served."""

    body: bytes
    compressed: bytes | None
    """By gzip; None where it is not worth it."""
    content_type: str
    etag: str
    """By which a browser knows whether it has this very file."""


def read_all() -> dict[str, StaticFile]:
    """Every file by its name."""
    static = files("gateway.web") / "static"
    found = [file for file in static.iterdir() if file.is_file()]
    return {file.name: _read(file) for file in (*found, *_swagger_ui())}


def answer(
    file: StaticFile, accept_encoding: str, if_none_match: str
) -> tuple[bytes, int, dict[str, str]]:
    """Body, status and headers of the answer to a request with these headers."""
    headers = {**HEADERS, "Content-Type": file.content_type, "ETag": file.etag}
    if file.etag in if_none_match:
        return b"", 304, headers
    if file.compressed is not None and "gzip" in accept_encoding:
        return file.compressed, 200, {**headers, "Content-Encoding": "gzip"}
    return file.body, 200, headers


def _swagger_ui() -> list[Traversable]:
    package = find_spec("flask_swagger_ui")  # not imported: it is made for Flask
    assert package is not None, "it is among the dependencies"
    assert package.origin is not None
    return [Path(package.origin).parent / "dist" / name for name in SWAGGER_UI]


def _read(file: Traversable) -> StaticFile:
    body = file.read_bytes()
    content_type = _content_type(file.name)
    compressed = gzip.compress(body, mtime=0) if len(body) >= _WORTH_IT else None
    # Weak: it stands for the compressed form, too.
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    return StaticFile(body, compressed, content_type, etag)


def _content_type(name: str) -> str:
    if name.endswith(".js"):
        return "text/javascript; charset=utf-8"  # this machine's table may differ
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
