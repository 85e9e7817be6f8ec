"""Paths that end with a username."""

from __future__ import annotations

import re
from urllib.parse import unquote

from quart import Quart
from werkzeug.routing import BaseConverter

_SLASH = "\ufdd0"
"""Stands for a slash of a name. It is no character, so no name has it."""


def routed(raw: bytes | None, path: str) -> str:
    """The path by which the rule for a request is found; `raw` is how its client has it.

    An encoded slash belongs to a name: `/accounts/a%2Fdevices` is the account `a/devices`, and not
    the devices of `a`. A path with two slashes at its beginning is none: Werkzeug takes them for
    one, behind the back of what answers or sheds without Quart.
    """
    if raw is not None and b"%2f" in raw.lower():
        parts = re.split("%2[Ff]", raw.decode("utf-8", "replace"))
        path = _SLASH.join(unquote(part) for part in parts)
    return _SLASH + path if path.startswith("//") else path


class PartConverter(BaseConverter):
    """One part of a path, as `<...>` in a rule: no name, so it has no slash in any form."""

    part_isolating = True
    regex = f"[^/{_SLASH}]+"


class UsernameConverter(BaseConverter):
    """The rest of a path, as `<username:...>` in a rule: a name may have slashes, also at its ends.

    Werkzeug's own `path` begins with no slash.
    """

    part_isolating = False
    regex = "(?s:.+)"

    def to_python(self, value: str) -> str:
        """The name."""
        return value.replace(_SLASH, "/")


def understand_usernames(app: Quart) -> None:
    """Let the application's rules have `<username:...>`; before any that has."""
    app.url_map.converters["default"] = PartConverter
    app.url_map.converters["username"] = UsernameConverter
    app.url_map.merge_slashes = False
