"""Paths that end with a username."""

from __future__ import annotations

from quart import Quart
from werkzeug.routing import BaseConverter


class UsernameConverter(BaseConverter):
    """The rest of a path, as `<username:...>` in a rule: a name may have slashes, also at its ends.

    Werkzeug's own `path` begins with no slash.
    """

    part_isolating = False
    regex = "(?s:.+)"


def understand_usernames(app: Quart) -> None:
    """Let the application's rules have `<username:...>`; before any that has."""
    app.url_map.converters["username"] = UsernameConverter
    app.url_map.merge_slashes = False
