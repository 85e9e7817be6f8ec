"""Every answer that a client got, against the log."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from loadtest.histories import ClockApart
from oracle.replay import (
    ACCEPTED,
    BLOCKED,
    LATE,
    MOVED,
    REJECTED,
    REPEATED,
    AuditedRequest,
)
from tests.harness.evidence import Answered
from tests.harness.oracle_replay import Standing

EARLY_MS = 5
"""Clocks are read in milliseconds."""
LONGEST_MS = 15_000
"""No client waits longer."""
LATE_MS = 15_000
"""A request whose answer nobody got may come into the log this long after."""
APART_MS = 1_000
"""Where a clock was wrong, by how much is known so well only. Elsewhere nobody is refused by
a block that is over: a gateway refuses only while it is sure that the block stands."""
ANSWER_MS = 15_000
"""The record of an unblocking is decided so soon: a broker that is cut off from the others may keep
it from its readers for seconds. The two seconds themselves are judged by what clients were told, in
:mod:`loadtest.histories`."""
LIFTED_TOLERANCE_MS = 2_000 + ANSWER_MS
"""An unblocking holds everywhere two seconds after its decision; the log has its record's time."""

SAYS = {200: ACCEPTED, 401: REJECTED, 403: BLOCKED, 429: BLOCKED}
UNKNOWN = (0, 503)


def differences(
    answers: Iterable[Answered],
    decided: Iterable[AuditedRequest],
    standing: dict[str, list[Standing]],
    clocks: Sequence[ClockApart],
    appended: Mapping[tuple[int, int], float],
) -> list[str]:
    """The differences between what clients were told and what the log says.

    `appended` has when each record really was, also while the clocks of brokers were wrong.
    """
    found: list[str] = []
    asked: dict[str, list[Answered]] = defaultdict(list)
    logged: dict[str, list[AuditedRequest]] = defaultdict(list)
    for answer in answers:
        asked[answer.user].append(answer)
        if answer.status not in (*SAYS, *UNKNOWN):
            found.append(f"{answer.user} was answered {answer.status}")
        elif answer.status == 200 and not answer.right:
            found.append(f"{answer.user} got in with a wrong password")
        elif answer.status == 401 and answer.right:
            found.append(f"{answer.user} was refused as wrong with the right password")
        elif answer.status in (403, 429) and not any(
            _stood(answer, block, clocks, appended) for block in standing.get(answer.user, [])
        ):
            found.append(
                f"{answer.user} was answered {answer.status} at {answer.ended_ms:.0f}, and no block"
                " stood"
            )
    for row in decided:
        if row.kind == "attempt" and row.decision not in (MOVED, REPEATED, LATE):
            record = row.record
            ms = round(appended[record.partition, record.offset])
            logged[row.user].append(row._replace(record=record._replace(ms=ms)))
    for user in asked.keys() | logged.keys():
        found += _of_user(user, asked[user], logged[user])
    return found


def untold(answers: Iterable[Answered], decided: Iterable[AuditedRequest]) -> list[AuditedRequest]:
    """The attempts that were decided, unblocked, and whose client never heard of it."""
    asked: dict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        if answer.status in (200, 401):
            asked[answer.user].append(answer)
    found = []
    for row in decided:
        if row.kind == "attempt" and row.decision not in (BLOCKED, MOVED, REPEATED):
            explained = [a for a in asked[row.user] if _explains(a, row)]
            if explained:
                asked[row.user].remove(min(explained, key=lambda answer: answer.ended_ms))
            else:
                found.append(row)
    return found


def _of_user(user: str, asked: Sequence[Answered], logged: Sequence[AuditedRequest]) -> list[str]:
    """Two questions of who explains whom; each alone suffices (Mendelsohn and Dulmage)."""
    asked = sorted(asked, key=lambda answer: answer.started_ms)
    starts = [answer.started_ms for answer in asked]
    logged = sorted(logged, key=lambda row: row.record.ms)
    appended = [row.record.ms for row in logged]

    certain = [answer for answer in asked if answer.status in (200, 401)]
    rows_of = [
        [
            number
            for number in range(
                bisect_left(appended, answer.started_ms - EARLY_MS),
                bisect_right(appended, answer.ended_ms + EARLY_MS),
            )
            if _explains(answer, logged[number])
        ]
        for answer in certain
    ]
    answers_of = [
        [
            number
            for number in range(
                bisect_left(starts, row.record.ms - LONGEST_MS - LATE_MS),
                bisect_right(starts, row.record.ms + EARLY_MS),
            )
            if _explains(asked[number], row)
        ]
        for row in logged
    ]
    return [
        f"{user} was answered {certain[index].status} at {certain[index].ended_ms:.0f}, and no"
        " attempt in the log explains it that does not explain another answer"
        for index in _alone(rows_of)
    ] + [
        f"the log holds an attempt of {user} that no client made, or whose answer says something"
        f" else: {logged[index].record.partition}/{logged[index].record.offset},"
        f" right: {logged[index].right}, decision {logged[index].decision}"
        for index in _alone(answers_of)
    ]


def _explains(answer: Answered, row: AuditedRequest) -> bool:
    if answer.right != row.right or answer.started_ms - EARLY_MS > row.record.ms:
        return False
    if answer.status in UNKNOWN:
        return row.record.ms <= answer.ended_ms + LATE_MS
    return SAYS.get(answer.status) == row.decision and row.record.ms <= answer.ended_ms + EARLY_MS


def _alone(partners: Sequence[Sequence[int]]) -> list[int]:
    """Those without a partner of their own in a largest matching, by augmenting paths."""
    taken: dict[int, int] = {}  # the one that has this partner
    alone = []
    for index in range(len(partners)):
        came_from: dict[int, tuple[int, int | None]] = {}
        seekers: list[tuple[int, int | None]] = [(index, None)]
        free: int | None = None
        while seekers and free is None:
            seeker, by = seekers.pop()
            for number in partners[seeker]:
                if number not in came_from:
                    came_from[number] = (seeker, by)
                    if number not in taken:
                        free = number
                        break
                    seekers.append((taken[number], number))
        if free is None:
            alone.append(index)
        while free is not None:
            seeker, by = came_from[free]
            taken[free], free = seeker, by
    return alone


def _stood(
    answer: Answered,
    block: Standing,
    clocks: Iterable[ClockApart],
    appended: Mapping[tuple[int, int], float],
) -> bool:
    begun = appended[block.begun.partition, block.begun.offset]
    if begun > answer.ended_ms + EARLY_MS:
        return False
    if block.lifted is not None:
        lifted = appended[block.lifted.partition, block.lifted.offset]
        if lifted + LIFTED_TOLERANCE_MS < answer.started_ms:
            return False
    # A clock that was behind made it longer.
    behind = [
        -clock.ahead_ms
        for clock in clocks
        if clock.begin <= answer.ended_ms and answer.started_ms <= clock.end
    ]
    late = APART_MS + max(0, *behind) if behind else EARLY_MS
    return block.until_ms + late >= answer.started_ms
