"""Whether a request's Host header names us: a page on the web may make its own name lead here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s\[\]:@/?#\\]*))(?::\d*)?")
"""An address in brackets or a name, and a port; nothing that programs could read differently."""


def is_ours(host: str, ours: Collection[str]) -> bool:
    """Whether this is an address, ``localhost``, one of our names, or none, as no browser sends.

    A page that a browser loaded by another name is of whoever owns that name, who may let it lead
    here afterwards (DNS rebinding). In a local network that is true of a name without dots, too:
    anybody there may answer for it.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2] or "").lower()
    if name in ours or name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
