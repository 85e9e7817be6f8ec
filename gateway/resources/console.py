"""The console, and the documentation of both ports' API."""

from __future__ import annotations

from functools import cache

from quart import Blueprint, Response
from quart_schema import hide

from gateway import answers, files
from gateway.app import services
from gateway.documentation import openapi
from gateway.errors import NotFoundError

blueprint = Blueprint("console", __name__)

_all_files = cache(files.read_all)
_openapi = cache(openapi)


@blueprint.get("/")
@hide
async def console() -> Response:
    """Show the console."""
    return _file("console.html")


@blueprint.get("/docs")
@hide
async def docs() -> Response:
    """Show the documentation of the API."""
    return _file("docs.html")


@blueprint.get("/static/<name>")
@hide
async def static_file(name: str) -> Response:
    """Give a part of those pages."""
    return _file(name)


@blueprint.get("/openapi.json")
@hide
async def openapi_json() -> Response:
    """Give the description of the API that programs read (OpenAPI)."""
    return answers.answer(200, _openapi(services().settings))


def _file(name: str) -> Response:
    if name not in _all_files():
        raise NotFoundError("There is nothing at this path")
    body, content_type = _all_files()[name]
    return Response(body, 200, {**files.HEADERS, "Content-Type": content_type})
