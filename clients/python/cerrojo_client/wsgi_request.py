"""A WSGI request that is read before the view reads it."""

from __future__ import annotations

from io import BytesIO
from wsgiref.types import WSGIEnvironment

from cerrojo_client.login_form import LoginForm, cut_off


def path(environ: WSGIEnvironment) -> str:
    """The whole path. The server gives its bytes as Latin-1 (PEP 3333)."""
    given: str = environ.get("SCRIPT_NAME", "") + "/" + environ.get("PATH_INFO", "")
    return given.encode("latin-1").decode("utf-8", "replace")


def user_of(environ: WSGIEnvironment, form: LoginForm) -> str:
    """Whose login it is. Raises Settled."""
    body = _read_body(environ, form)
    kind, query = environ.get("CONTENT_TYPE", ""), environ.get("QUERY_STRING", "")
    return form.user(kind, query, body)


def _read_body(environ: WSGIEnvironment, form: LoginForm) -> bytes:
    """The whole body, or enough to see that it is too long; the view can read it again.

    Raises Settled where its length is not said, or it was cut off.
    """
    size = form.size(environ.get("CONTENT_LENGTH"))
    body: bytes = environ["wsgi.input"].read(size)
    if len(body) < size:
        raise cut_off()
    environ["wsgi.input"] = BytesIO(body)
    return body
