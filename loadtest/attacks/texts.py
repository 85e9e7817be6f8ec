"""Attacks with texts that are costly to normalize, and with what an answer tells of a name."""

from __future__ import annotations

from loadtest.attacks.attack import Attack, Outcome, System
from loadtest.attacks.wire import Answer, ask, credentials, log_in

LONGEST = 15_000  # bytes of a text that a body has room for
TIMES = 3
MOST_SECONDS = 0.25
"""More than a plain text of the same length takes, and no text takes so much more."""

COSTLY: dict[str, str] = {
    "marks in the wrong order": "\u0344\u0f81",
    "a base with a thousand marks": "\u0301\u0316",
    "a word of 18 letters in one": "\ufdfa",
    "middle dots of Katakana": "\u30fb",
    "digits of Arabic": "\u0660",
    "joiners": "a\u200d",
    "joiners after a virama": "\u0915\u094d\u200d",
    "Greek numeral signs": "\u0375",
    "Hebrew points": "\u05d0\u05f3",
    "parts of Hangul": "\u1100\u1161\u11a8",
    "letters from right to left": "\u05d0a",
    "fullwidth letters": "\uff21",
    "sharp s, which is two": "\u00df\u1e9e",
    "a dotted capital I": "\u0130",
    "letters beyond 16 bits": "\U0001d400",
    "unassigned": "\U000e0fff",
    "composed with three": "\u1f82\u0390",
    "tags": "\U000e0041",
    "variation selectors": "a\ufe0f",
}


async def costly_texts(system: System) -> Outcome:
    """Names and passwords of every kind of letter, as long as a body may be."""
    slowest, which = 0.0, ""
    failed = []
    texts = {"plain": "a", **COSTLY}
    for name, unit in texts.items():
        text = unit * (LONGEST // len(unit.encode()))
        as_either = {
            "a name": credentials(text, "a wrong password"),
            "a password": credentials(system.user(f"text-{len(name)}"), text),
        }
        for field, body in as_either.items():
            answers = [await ask(system.login, "POST", "/login", body) for _ in range(TIMES)]
            seconds = min(answer.seconds for answer in answers)
            if seconds > slowest:
                slowest, which = seconds, f"{name} as {field}"
            if {answer.status for answer in answers} - {400, 401, 429}:
                failed.append(f"{name} as {field}: {answers[0].status}")
    happened = f"{slowest * 1000:.0f} ms at most ({which})"
    if failed:
        happened += f"; {', '.join(failed)}"
    return Outcome(2 * TIMES * len(texts), happened, slowest < MOST_SECONDS and not failed)


async def telling_answers(system: System) -> Outcome:
    """Compare all that answers have, for a name with an account and for one without."""
    known, unknown = system.user("there"), system.user("not-there")
    made = await ask(
        system.login,
        "POST",
        "/register",
        credentials(known, "the right password"),
        source=system.source(1),
    )
    differences = [] if made.status in (201, 429, 503) else [f"no account: {made.status}"]
    statuses = []
    for number in range(7):
        one = await log_in(system.login, known, "a wrong password", source=system.source())
        other = await log_in(system.login, unknown, "a wrong password", source=system.source())
        statuses.append(one.status)
        differences += [
            f"try {number + 1}: {what}"
            for what, mine, theirs in (
                ("status", one.status, other.status),
                ("headers", one.header_names, other.header_names),
                ("body", _told(one), _told(other)),
            )
            if mine != theirs
        ]
    said = " ".join(map(str, statuses))
    return Outcome(14, "; ".join(differences) or f"{said}, the same for both", not differences)


def _told(answer: Answer) -> object:
    """The body; of a block without its seconds, of which one may be over between the two."""
    body = dict(answer.json())
    return body if answer.status == 401 else {**body, "error": ""}


ATTACKS = (
    Attack("texts that are costly to read", "each is answered within 250 ms", costly_texts),
    Attack(
        "which names exist, by answers", "known and unknown are answered alike", telling_answers
    ),
)
