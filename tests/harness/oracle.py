"""A judge of whole runs that shares no code with what it judges.

It replays the log by the documented policy (:mod:`oracle.replay`) and
compares all that the system wrote and answered. The differences are a list of sentences.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import pairwise

from oracle.records import Logged
from oracle.replay import Account, AuditedRequest
from tests.harness import oracle_answers
from tests.harness.evidence import Audited, Evidence, Locked
from tests.harness.oracle_replay import Replayed, layouts_of, replay

Place = tuple[int, int]
"""Partition and offset on `attempts`."""


ON_THEIR_WAY = 20
"""Heartbeats that an owner's client holds at most: two a second, for ten seconds."""


def differences(evidence: Evidence) -> list[str]:
    """Everything that is not as the log demands; empty where all is right."""
    replayed = replay(evidence.attempts)
    decided = {
        (number, d.record.offset): d
        for number, partition in replayed.partitions.items()
        for d in partition.decided
    }
    perhaps = {_place(row) for row in evidence.audit if not row.user} & replayed.perhaps_nameless
    nameless = replayed.nameless | perhaps
    return [
        *_progress(evidence, replayed),
        *_audit(evidence, decided, nameless),
        *_states(evidence, replayed.accounts),
        *_verdicts(evidence, decided),
        *_news(evidence, decided),
        *(_order(evidence, nameless) if evidence.exact_times else []),
        *(
            oracle_answers.differences(
                evidence.answers,
                decided.values(),
                replayed.standing,
                evidence.clocks,
                evidence.appended(),
            )
            if evidence.answers is not None
            else []
        ),
    ]


def _progress(evidence: Evidence, replayed: Replayed) -> list[str]:
    found = []
    for partition, one in replayed.partitions.items():
        records = [d.record.offset for d in one.decided] + [r.offset for r in one.unreadable]
        if sorted(records) != list(range(len(records))):
            found.append(f"the log of partition {partition} is not whole")
        stored = evidence.progress.get(partition, 0)
        if stored != len(records):
            found.append(
                f"partition {partition} stands at {stored}, and its log ends at {len(records)}"
            )
    unreadable = {
        (u.partition, u.offset) for r in replayed.partitions.values() for u in r.unreadable
    }
    for partition, offset in sorted(evidence.quarantined ^ unreadable):
        here = (partition, offset) in evidence.quarantined
        found.append(f"{partition}/{offset} is {'' if here else 'not '}in quarantine")
    return found


def _audit(
    evidence: Evidence, decided: dict[Place, AuditedRequest], nameless: set[Place]
) -> list[str]:
    found = []
    rows: dict[Place, Audited] = {}
    for row in evidence.audit:
        place = (row.partition, row.offset)
        if place in rows:
            found.append(f"{place} was decided twice")
        rows[place] = row
    for place in sorted(rows.keys() | decided.keys()):
        if place not in rows:
            found.append(f"{place} was never decided")
        elif place not in decided:
            found.append(f"{place} was decided and is not in the log")
        else:
            right, stored = decided[place], rows[place]
            if place in nameless:
                nobody = dict.fromkeys(("source", "user_agent", "device", "guess", "reason"))
                right = right._replace(user="", **nobody)
            if _of_decision(right) != _of_audit(stored):
                found.append(
                    f"{place} was decided as {_of_audit(stored)}, and the policy demands"
                    f" {_of_decision(right)}"
                )
    return found


def _of_decision(decided: AuditedRequest) -> tuple[object, ...]:
    return (decided.record.ms, *decided[1:])


def _of_audit(row: Audited) -> tuple[object, ...]:
    return (
        *(row.ms, row.id, row.kind, row.user, row.right, row.reply_partition),
        *(row.decision, row.until_ms, row.change, row.policy_version, row.generation),
        *(row.source, row.user_agent, row.delayed_ms, row.device, row.guess),
        *(row.operator, row.reason),
    )


def _states(evidence: Evidence, accounts: dict[str, Account]) -> list[str]:
    stored = {state.user: state for state in evidence.states}
    right = {
        user: Locked(
            user,
            tuple(ms for ms, _ in account.wrong),
            account.consecutive_failures,
            account.blocks,
            account.since,
            account.until,
            account.last,
            account.forget,
            account.by_hand,
            account.partition,
            account.offset,
            tuple(guess or "0" * 16 for _, guess in account.wrong)
            if any(guess for _, guess in account.wrong)
            else (),
            tuple(
                (name, device.wrong, device.until, tuple(device.guesses))
                for name, device in account.devices.items()
            ),
        )
        for user, account in accounts.items()
    }
    return [
        f"{user} has {stored.get(user, 'nothing')} against it, and should have"
        f" {right.get(user, 'nothing')}"
        for user in sorted(stored.keys() | right.keys())
        if stored.get(user) != right.get(user)
    ]


def _verdicts(evidence: Evidence, decided: dict[Place, AuditedRequest]) -> list[str]:
    found = []
    missing: dict[tuple[object, ...], Place] = {
        (d.reply_partition, d.id, d.user, d.decision, d.until_ms): place
        for place, d in decided.items()
    }
    right = set(missing)
    for verdict in evidence.verdicts:
        said = (verdict.partition, *verdict.fields[1:]) if verdict.fields else ()
        if said not in right:
            found.append(f"a verdict contradicts the log: {said}")
        missing.pop(said, None)
    return found + [f"the verdict on {place} was never said" for place in missing.values()]


def _news(evidence: Evidence, decided: dict[Place, AuditedRequest]) -> list[str]:
    found = []
    right: dict[Place, list[object]] = {}
    for (partition, offset), one in decided.items():
        if one.change:
            news: list[object] = [partition, [one.generation, offset], one.user]
            right[partition, offset] = (
                ["blocked", *news, one.until_ms] if one.change > 0 else ["unblocked", *news]
            )
    # Which news of a partition have not been said yet, by offset.
    unsaid: dict[int, set[int]] = defaultdict(set)
    for partition, offset in right:
        unsaid[partition].add(offset)
    last_generation = 1 + len(layouts_of(evidence.attempts))
    epochs: dict[int, int] = {}
    late: Counter[tuple[int, int]] = Counter()
    for record in evidence.blocks:
        fields = record.fields
        if fields and fields[0] == "heartbeat":
            partition, epoch, (generation, offset) = fields[1:4]
            ahead = sorted(place for place in unsaid[partition] if place < offset)
            if ahead:
                found.append(f"a heartbeat says {partition}/{offset} before the news of {ahead}")
            if generation > last_generation or offset > evidence.progress[partition]:
                found.append(f"a heartbeat says {fields[3]} of {partition}, beyond the log")
            # Some may have been on their way while a line was cut, and gateways ignore them; an
            # owner that is not fenced would go on.
            late[partition, epoch] += epoch < epochs.get(partition, 0)
            if late[partition, epoch] > ON_THEIR_WAY:
                found.append(f"a former owner of {partition} wrote at {record.offset} of blocks")
            epochs[partition] = max(epoch, epochs.get(partition, 0))
        elif fields and fields[0] == "claimed":
            partition, _, (generation, offset) = fields[1:]
            if generation > last_generation or offset > evidence.progress[partition]:
                found.append(f"a claim says {fields[3]} of {partition}, beyond the log")
        else:
            place = (fields[1], fields[2][1]) if fields else (-1, -1)
            if not fields or right.get(place) != fields[:-1]:  # the last one is the epoch
                found.append(f"news contradict the log: {fields}")
            unsaid[place[0]].discard(place[1])
    return found + [
        f"the news of {partition}/{offset} were never told"
        for partition, offsets in unsaid.items()
        for offset in sorted(offsets)
    ]


def _order(evidence: Evidence, nameless: set[Place]) -> list[str]:
    """Nothing is said before it is committed, nor committed before the last batch was said.

    A row that a deletion has taken the name from has the time of that.
    """
    found = []
    audit = [row for row in evidence.audit if _place(row) not in nameless]
    first_said: dict[tuple[bytes, int], int] = {}
    for verdict in evidence.verdicts:
        if verdict.fields:
            said_of = (verdict.fields[1], verdict.fields[3])  # a repetition has the same id
            first_said[said_of] = min(verdict.ms, first_said.get(said_of, verdict.ms))
    batches: dict[int, list[list[Audited]]] = defaultdict(list)
    for row in audit:
        of_partition = batches[row.partition]
        if not of_partition or of_partition[-1][0].transaction != row.transaction:
            of_partition.append([])
        of_partition[-1].append(row)
        said, committed = first_said.get((row.id, row.decision)), row.committed_ms
        if any(restored.concerns(row) for restored in evidence.restored):
            continue
        if not evidence.times_agree(row):
            continue
        if committed is None:
            found.append(f"the time at which {_place(row)} was committed is not known")
        elif said is not None and said < int(committed):
            found.append(
                f"the verdict on {_place(row)} was out {committed - said:.1f} ms before its commit"
            )
    for partition, of_partition in batches.items():
        for before, after in pairwise(of_partition):
            if not all(map(evidence.times_agree, (*before, *after))):
                continue
            said = max((first_said.get((row.id, row.decision), 0) for row in before), default=0)
            committed = after[0].committed_ms
            if committed is not None and said > committed:
                found.append(
                    f"the batch at {_place(after[0])} was committed {said - committed:.1f} ms"
                    f" before the verdicts of {partition}/{before[0].offset} were out"
                )
    once = [
        row
        for row in audit
        if evidence.times_agree(row) and not any(back.concerns(row) for back in evidence.restored)
    ]
    found += _news_order(evidence.blocks, {_place(row): row for row in once}, first_said)
    return found


def _news_order(
    blocks: list[Logged],
    rows: dict[Place, Audited],
    first_said: Mapping[tuple[bytes, int], int],
) -> list[str]:
    found = []
    told = set()
    for record in blocks:
        if record.fields and record.fields[0] in ("blocked", "unblocked"):
            row = rows.get((record.fields[1], record.fields[2][1]))
            if row is None:
                continue
            if row.committed_ms is not None and record.ms < int(row.committed_ms):
                found.append(f"the news of {_place(row)} were out before their commit")
            said = first_said.get((row.id, row.decision), record.ms)
            if row.change < 0 and _place(row) not in told and said < record.ms:
                found.append(f"the verdict on {_place(row)} was out before its news")
            told.add(_place(row))
    return found


def _place(row: Audited) -> Place:
    return row.partition, row.offset
