"""What the middleware must know of a login that it cannot change, and how it reads one.

The middleware and the login have to see the same user, or a guess would be counted for somebody
else. So everything that two programs might read differently is refused: a second user, another
encoding, a form with parts, a JSON object with a key twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from cerrojo_client.verdict import Kind, Verdict, decided, invalid

BODY_MAX = 65_536  # bytes

_ELSEWHERE = (307, 308)
_TYPES = {"form": "application/x-www-form-urlencoded", "json": "application/json"}


class Settled(Exception):  # noqa: N818  # it is an answer
    """A request whose answer needs no verdict of Cerrojo's."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.sentence)
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class LoginForm:
    """A login as it is."""

    paths: Iterable[str]
    """Every path at which its view answers. More slashes make no other one, nor does one at the end
    or a newline there."""
    user_field: str
    """The field with the name by which an account is known, and by no other one."""
    right: Container[int]
    """The statuses of a login that succeeded. Every other one is taken for a wrong password, but
    for 307 and 308, which say where to send the same password: no view has checked it yet."""
    no_outcome: Container[int] = ()
    """Statuses that never depend on the password, as of a missing CSRF token; not counted."""
    reads: Literal["form", "json"] = "form"
    """What the view reads: a form without files, or a JSON object."""

    def __post_init__(self) -> None:
        """Refuse paths by which no request would be taken for a login."""
        paths = () if isinstance(self.paths, str) else tuple(self.paths)
        if not paths or not all(path.startswith("/") for path in paths):
            raise ValueError(
                f"paths is a list of paths that begin with a slash, not {self.paths!r}"
            )
        object.__setattr__(self, "paths", paths)  # an iterator would be empty the next time

    def concerns(self, method: str, path: str) -> bool:
        """Whether this request may be a login."""
        return method not in ("GET", "HEAD", "OPTIONS") and _plain(path) in map(_plain, self.paths)

    def size(self, content_length: str | None) -> int:
        """How many bytes to read, where the server does not say where the body ends; or Settled."""
        if not content_length or not content_length.isascii() or not content_length.isdigit():
            raise _refused(411, "Send a Content-Length")
        return min(int(content_length[:10]), BODY_MAX + 1)

    def user(self, content_type: str, query: str, body: bytes) -> str:
        """Whose login it is; or Settled."""
        expected = rf"{re.escape(_TYPES[self.reads])}(\s*;\s*charset=\"?utf-?8\"?)?"
        if not re.fullmatch(expected, content_type.strip(), re.IGNORECASE):
            raise _refused(415, f"Send {_TYPES[self.reads]} in UTF-8")
        if len(body) > BODY_MAX:
            raise _refused(413, f"Send at most {BODY_MAX} bytes")
        try:
            pairs = _form(body.decode()) if self.reads == "form" else _json(body.decode())
            pairs += _form(query)
        except (ValueError, RecursionError) as error:
            raise _refused(400, "This is not the login's form") from error
        users = [value for name, value in pairs if name == self.user_field]
        if len(users) != 1 or not isinstance(users[0], str):
            raise _refused(400, f"Send one {self.user_field}")
        return users[0]

    def is_right(self, status: int) -> bool:
        """What the view's answer says about the password; or Settled, if it is the answer."""
        if status in self.right:
            return True
        if status in _ELSEWHERE or status in self.no_outcome:
            raise Settled(decided(Kind.REJECTED))
        return False

    def refusal(self, verdict: Verdict) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the answer in the place of the view's."""
        if self.reads == "json":
            kind, body = "application/json", json.dumps({"error": verdict.sentence}).encode()
        else:
            kind, body = "text/plain; charset=utf-8", verdict.sentence.encode()
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **verdict.headers}
        return verdict.status, [*headers.items()], body


def _plain(path: str) -> str:
    """The same for all paths of which some router makes one.

    Werkzeug's takes all slashes at the beginning for one. Starlette's routes are expressions with a
    $, which stands before a last newline, too.
    """
    return re.sub("/+", "/", f"/{path}").rstrip("/\n")


def cut_off() -> Settled:
    """For a body of which only a part arrived: it might name somebody else."""
    return _refused(400, "The request was cut off")


def _refused(status: int, sentence: str) -> Settled:
    return Settled(invalid(sentence, status))


def _form(text: str) -> list[tuple[str, object]]:
    # A browser sends none of these; views differ in what they make of them.
    if not text.isascii() or re.search(r";|%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("not as browsers encode it")
    return [*parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=1000)]


def _json(text: str) -> list[tuple[str, object]]:
    pairs = json.loads(text, object_pairs_hook=_Pairs)
    if not isinstance(pairs, _Pairs):
        raise ValueError("not an object")
    return [*pairs]


class _Pairs(list[tuple[str, object]]):
    """An object with every key that was sent, also one that was sent twice."""
