"""The console, and the page that shows the documentation of both ports' API."""

from __future__ import annotations

from functools import cache

from quart import Blueprint, Response, request

from gateway.errors import NotFoundError
from gateway.web import static_files
from gateway.web.operator_access import EVERYBODY, needs
from gateway.web.schemas import hidden

blueprint = Blueprint("console", __name__)

_all_files = cache(static_files.read_all)


@needs(EVERYBODY)
@blueprint.get("/")
@hidden
async def console() -> Response:
    """Show the console."""
    return _file("console.html")


@needs(EVERYBODY)
@blueprint.get("/docs")
@hidden
async def docs() -> Response:
    """Show the documentation of the API, by Swagger UI."""
    return _file("docs.html")


@needs(EVERYBODY)
@blueprint.get("/static/<name>")
@hidden
async def static_file(name: str) -> Response:
    """Give a part of those pages."""
    return _file(name)


def _file(name: str) -> Response:
    if name not in _all_files():
        raise NotFoundError("There is nothing at this path")
    asked = (request.headers.get(header, "") for header in ("Accept-Encoding", "If-None-Match"))
    return Response(*static_files.answer(_all_files()[name], *asked))
