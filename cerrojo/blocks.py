"""`cerrojo blocked`, `block`, `unblock` and `attacks`: by the operator port."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.console import Group
from rich.text import Text

from cerrojo import config
from cerrojo.output import progress, show, table, text
from cerrojo.ports import Port, RefusalError, UnansweredError, operator_port, path
from workers.commands import change_policy
from workers.commands.errors import CommandError

PAGE = 10_000
"""Names that are asked for at once."""

DETAILED_PAGE = 1_000
"""The same with details."""


def blocked(
    search: Annotated[
        str, typer.Argument(help="only names that have this text in them", metavar="[TEXT]")
    ] = "",
    details: Annotated[
        bool, typer.Option("--details", help="also since when, until when, and why")
    ] = False,
    reason: Annotated[
        str, typer.Option(help="only those whose reason has this text; with details")
    ] = "",
    since: Annotated[
        str, typer.Option(help="only those that began then or later (ISO 8601); with details")
    ] = "",
) -> None:
    """List the blocked accounts by name; with details newest first."""
    port = operator_port(config.load())
    if not (details or reason or since):
        names = [name for name in _all_blocked(port) if search.lower() in name]
        show({"blocked": names}, table(["user"], ([name] for name in names), "Nobody is blocked."))
        return
    asked = {"text": search, "reason": reason, "since": since}
    query = urlencode({name: value for name, value in asked.items() if value})
    found: list[dict[str, Any]] = []
    with progress("Asking for details") as bar:
        task = bar.add_task("", total=None)
        for page in port.pages(f"/blocked?details=1&limit={DETAILED_PAGE}&{query}"):
            found += page["blocked"]
            bar.update(task, completed=len(found))
    show(
        {"blocked": found},
        table(
            ["user", "since", "until", "level", "failures", "why"],
            (
                [b["user"], b["since"], b["until"] or "lifted", *(b[k] for k in _REST)]
                for b in found
            ),
            "Nobody is blocked.",
        ),
    )


_REST = ("level", "failures", "why")


def _all_blocked(port: Port) -> list[str]:
    names: list[str] = []
    while True:
        after = f"&after={quote(names[-1], safe='')}" if names else ""
        page = port.ask("GET", f"/blocked?limit={PAGE}{after}")["users-blocked"]
        names += page
        if len(page) < PAGE:
            return names


def unblock(
    users: Annotated[
        list[str],
        typer.Argument(
            metavar="USER...", help="the account, or several; -: those on stdin, one on each line"
        ),
    ],
    reason: config.Reason = "",
) -> None:
    """Lift an account's block, and clear its count; or those of several.

    It can be repeated: of several, those that are not blocked are named, and no failure.
    """
    why = change_policy.checked_reason(reason)
    body = {"reason": why} if why else None
    port = operator_port(config.load())
    if len(users) == 1 and users != ["-"]:
        [user] = users
        answer = port.ask("DELETE", path("blocked", user), body)
        show({"user": user, **answer}, f"{user} is unblocked.")
        return
    names = [line.strip() for line in sys.stdin if line.strip()] if users == ["-"] else users
    paths = {name: path("blocked", name) for name in names}  # each is a text, or none is asked for
    done: dict[str, list[str]] = {"unblocked": [], "not_blocked": []}
    with progress("Unblocked") as bar:
        for name in bar.track(names):
            try:
                port.ask("DELETE", paths[name], body)
            except CommandError as error:
                code = error.code if isinstance(error, RefusalError) else ""
                if code not in ("not_found", "invalid"):  # or no name at all
                    unsure = " may be," if isinstance(error, UnansweredError) else " and"
                    raise CommandError(
                        f"{len(done['unblocked'])} accounts are unblocked, and {name}{unsure} "
                        f"those after it are not: {error} Run the command again."
                    ) from error
                done["not_blocked"].append(name)
            else:
                done["unblocked"].append(name)
    rest = f" These are not blocked: {', '.join(found)}." if (found := done["not_blocked"]) else ""
    show(done, f"{len(done['unblocked'])} accounts are unblocked.{rest}")


_UNITS = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(text: str) -> int:
    """So long in seconds, as in 90s, 30min, 2h or 7d. Raises ValueError for another text."""
    found = re.fullmatch(r"([0-9]{1,9})(s|min|m|h|d)", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no length; write it as 90s, 30min, 2h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def block(
    user: Annotated[str, typer.Argument(help="the account")],
    reason: Annotated[str, typer.Option(help="why; at most 200 characters")],
    length: Annotated[
        int | None,
        typer.Option(
            "--for",
            parser=seconds_of,
            metavar="LENGTH",
            help="as 90s, 30min, 2h or 7d; else until it is lifted",
        ),
    ] = None,
) -> None:
    """Block an account by hand, with all its devices."""
    body: dict[str, object] = {"reason": reason}
    if length is not None:
        body["seconds"] = length
    answer = operator_port(config.load()).ask("POST", path("blocked", user), body)
    until = f"until {answer['until']}" if answer["until"] else "until its block is lifted"
    show({"user": user, **answer}, f"{user} is blocked {until}.")


def attacks(
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="the most sources, and the most accounts")
    ] = 20,
) -> None:
    """Say whether an attack goes on, and where refusals come from and what they aim at."""
    found = operator_port(config.load()).ask("GET", f"/attacks?limit={limit}")
    show(found, _attacks(found))


def _attacks(found: dict[str, Any]) -> Group:
    said = "An attack goes on" if found["attack"] else "There is no attack"
    sentence = (
        f"{said}: within 15 minutes {found['failed_accounts']} accounts failed, "
        f"{found['succeeded_accounts']} got in."
    )
    if not found["known"]:
        sentence = f"This gateway does not know now what sources did. What it knows: {sentence}"
    heads = [("source", found["sources"]), ("user", found["accounts"])]
    tables = (
        table(
            [name, "refusals", "at most too many"],
            ([heavy[name], heavy["refusals"], heavy["error"]] for heavy in heavies),
            f"No {name} has refusals.",
        )
        for name, heavies in heads
    )
    return Group(text(sentence, style="bold red" if found["attack"] else ""), *_apart(tables))


def _apart(renderables: Any) -> list[Any]:
    return [part for one in renderables for part in (Text(), one)]
