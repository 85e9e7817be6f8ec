"""The oracle itself: it agrees with right systems and notices each way of being wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import (
    Attempt,
    AttemptsMessage,
    Blocked,
    BlocksMessage,
    Decision,
    Heartbeat,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    Verdict,
    encode,
)
from events.positions import Position
from tests.acceptance.evidence import Answered, Audited, Evidence, Locked, Logged, logged
from tests.acceptance.oracle import differences
from tests.acceptance.oracle_replay import REACH, replay
from workers.batch import AuditRow, Batch, Record, decide, decode
from workers.policy import CLEAN, LockState

PARTITION = 2
POLICY = Policy(
    version=1, threshold=3, window_ms=1_000, block_ms=500, block_max_ms=1_500, final_failures=9
)
START = 1_700_000_000_000


def id_of(offset: int) -> bytes:
    """The id of the request at this offset."""
    return offset.to_bytes(16)


class System:
    """A right one, by the workers' own pure parts; the clock goes on a second with each batch."""

    def __init__(self, log: Sequence[tuple[int, AttemptsMessage]], batch_size: int = 3) -> None:
        self.evidence = Evidence(exact_times=True)
        self.records: list[Record] = []
        self.states: dict[str, tuple[LockState, int]] = {}
        self.policy: Policy | None = None
        for offset, (ms, message) in enumerate(log):
            self.records.append(Record(offset, START + ms, None, encode(message)))
            self.evidence.attempts.append(
                logged(PARTITION, offset, START + ms, self.records[-1].value)
            )
        self.committed_ms = START + 1_000_000
        for start in range(0, len(log), batch_size):
            self.run(self.records[start : start + batch_size])
        self.keep()

    def run(self, records: Sequence[Record]) -> Batch:
        """Decide, commit and publish a batch."""
        batch = self.decide(records)
        self.committed_ms += 1_000
        for row in batch.audit:
            self.evidence.audit.append(self.audited(row))
            self.publish(row, self.committed_ms + 2)
        self.evidence.progress[PARTITION] = batch.to_offset
        self.say(Heartbeat(PARTITION, 7, Position(1, batch.to_offset)), self.committed_ms + 3)
        return batch

    def decide(self, records: Sequence[Record]) -> Batch:
        """What follows, with the states after it."""
        states = {user: state for user, (state, _) in self.states.items()}
        batch = decide(records[0].offset, decode(records), states, self.policy)
        self.policy = batch.policy
        self.states |= batch.states
        return batch

    def audited(self, row: AuditRow) -> Audited:
        """The row as it is read back."""
        return Audited(
            PARTITION,
            row.offset,
            1,
            row.appended_ms,
            row.id,
            row.kind,
            row.user,
            row.right,
            row.decision,
            row.until_ms,
            row.change,
            row.policy_version,
            row.reply_partition,
            str(self.committed_ms),
            float(self.committed_ms),
        )

    def publish(self, row: AuditRow, ms: int) -> None:
        """The verdict and the news of a decision."""
        value = encode(Verdict(row.id, row.user, row.decision, row.until_ms))
        self.evidence.verdicts.append(
            logged(row.reply_partition, len(self.evidence.verdicts), ms, value)
        )
        position = Position(1, row.offset)
        if row.change > 0:
            self.say(Blocked(PARTITION, position, row.user, row.until_ms), ms)
        elif row.change < 0:
            self.say(Unblocked(PARTITION, position, row.user), ms)

    def say(self, news: BlocksMessage, ms: int) -> None:
        """A record on `blocks`."""
        self.evidence.blocks.append(logged(0, len(self.evidence.blocks), ms, encode(news)))

    def keep(self) -> None:
        """The states as they are read back."""
        self.evidence.states = [
            Locked(
                user,
                state.failures_ms,
                state.in_a_row,
                state.blocks,
                state.since_ms,
                state.until_ms,
                state.last_ms,
                PARTITION,
                offset,
            )
            for user, (state, offset) in self.states.items()
            if state != CLEAN
        ]


def log_of(*events: tuple[int, str, str]) -> list[tuple[int, AttemptsMessage]]:
    """A log from (when, what, user), after the policy."""
    log: list[tuple[int, AttemptsMessage]] = [(0, SetPolicy(id_of(0), 0, POLICY))]
    for ms, what, user in events:
        id_, reply = id_of(len(log)), len(log) % 4
        match what:
            case "right" | "wrong":
                log.append((ms, Attempt(id_, reply, user, what == "right")))
            case "registered":
                log.append((ms, Registered(id_, reply, user)))
            case "unblock":
                log.append((ms, Unblock(id_, reply, user)))
    return log


ORDINARY = log_of(
    (10, "registered", "anna"),
    (20, "wrong", "anna"),
    (30, "wrong", "anna"),
    (40, "right", "anna"),
    (50, "wrong", "ben"),
    (60, "wrong", "ben"),
    (70, "wrong", "ben"),  # 7: blocked
    (80, "right", "ben"),
    (90, "unblock", "ben"),
    (100, "right", "ben"),
    (110, "wrong", "anna"),
)

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 700),
        st.sampled_from(["wrong", "wrong", "wrong", "right", "registered", "unblock"]),
        st.sampled_from(["anna", "ben"]),
    ),
    max_size=60,
)


@given(EVENTS, st.integers(1, 9))
def test_it_agrees_with_the_workers_about_any_log(steps: list[tuple[int, str, str]], size: int):
    """Two implementations of one policy, over windows, doubled blocks and final ones."""
    now, events = 0, []
    for pause, what, user in steps:
        now += pause
        events.append((now, what, user))
    assert differences(System(log_of(*events), size).evidence) == []


def test_it_follows_accounts_to_their_new_partitions():
    """All of the small layout comes before any of the large one; what is late is not decided."""
    logs: dict[int, list[AttemptsMessage]] = {
        0: [
            SetPolicy(id_of(0), 0, POLICY),
            Attempt(id_of(1), 0, "anna", False, 1),
            Attempt(id_of(2), 0, "anna", False, 1),
            SetLayout(id_of(3), 0, 2),
            Attempt(id_of(4), 0, "anna", True, 1),
        ],
        1: [
            SetPolicy(id_of(5), 0, POLICY),
            SetLayout(id_of(6), 0, 2),
            Attempt(id_of(7), 0, "anna", False, 2),
            Attempt(id_of(8), 0, "anna", True, 2),
        ],
    }
    replays = replay(
        [
            logged(partition, offset, START + offset, encode(message))
            for partition, log in reversed(logs.items())
            for offset, message in enumerate(log)
        ]
    )
    accepted, rejected, blocked, moved, _ = Decision
    decisions = {p: [(d.decision, d.generation) for d in r.decided] for p, r in replays.items()}
    assert decisions == {
        0: [(accepted, 1), (rejected, 1), (rejected, 1), (accepted, 2), (moved, 2)],
        1: [(accepted, 1), (accepted, 2), (rejected, 2), (blocked, 2)],
    }
    assert replays[0].book.accounts["anna"].partition == 1


def test_it_counts_a_request_once_however_often_it_is_in_the_log():
    """As far as that is a producer's doing, and not somebody's who has seen the id before."""
    once, again = Attempt(id_of(1), 0, "anna", False, 4), Attempt(id_of(2), 0, "anna", False, 4)
    log = {0: SetPolicy(id_of(0), 0, POLICY), 1: once, 2: again, 3: once}
    log |= {3 + REACH: once, 4 + 2 * REACH: once}
    replayed = replay([logged(0, at, START + at, encode(message)) for at, message in log.items()])
    accepted, rejected, _, _, repeated = Decision
    decisions = [decided.decision for decided in replayed[0].decided]
    assert decisions == [accepted, rejected, rejected, repeated, repeated, rejected]


def skip_a_row(system: System) -> None:
    """The audit lacks a decision."""
    del system.evidence.audit[3]


def skip_a_record(system: System) -> None:
    """As if one attempt had been jumped over."""
    broken = System(ORDINARY[:3] + ORDINARY[4:])
    system.evidence.states = broken.evidence.states


def apply_twice(system: System) -> None:
    """The last batch's states once more."""
    system.decide(system.records[-1:])
    system.keep()


def decide_out_of_order(system: System) -> None:
    """The right password before the wrong one that stands before it."""
    swapped = System([*ORDINARY[:7], ORDINARY[8], ORDINARY[7], *ORDINARY[9:]])
    rows = {row.id: row for row in swapped.evidence.audit}
    system.evidence.audit = [
        row._replace(decision=rows[row.id].decision, until_ms=rows[row.id].until_ms)
        for row in system.evidence.audit
    ]


def publish_before_commit(system: System) -> None:
    """The verdict is out, the worker dies, its successor decides and says the same again."""
    verdict = system.evidence.verdicts[4]
    system.evidence.verdicts.insert(0, verdict._replace(ms=verdict.ms - 500))


def commit_before_the_last_is_acknowledged(system: System) -> None:
    """Nothing is lost, for once."""
    system.evidence.verdicts[4] = system.evidence.verdicts[4]._replace(
        ms=system.evidence.verdicts[-1].ms
    )


def lose_a_verdict(system: System) -> None:
    """Somebody waits for good."""
    del system.evidence.verdicts[4]


def say_it_to_another(system: System) -> None:
    """The verdict goes to another reply partition."""
    system.evidence.verdicts[4] = system.evidence.verdicts[4]._replace(partition=9)


def make_up_a_verdict(system: System) -> None:
    """A verdict on a request that is not in the log."""
    value = encode(Verdict(id_of(99), "anna", Decision.ACCEPTED, 0))
    system.evidence.verdicts.append(logged(0, 99, system.committed_ms + 9, value))


def contradict_a_verdict(system: System) -> None:
    """A second verdict that says something else."""
    value = encode(Verdict(id_of(4), "anna", Decision.REJECTED, 0))
    system.evidence.verdicts.append(logged(0, 99, system.committed_ms + 9, value))


def lose_the_news(system: System) -> None:
    """No gateway hears of the block."""
    del system.evidence.blocks[index_of(system, "blocked")]


def tell_the_news_late(system: System) -> None:
    """After a heartbeat has said that all before it are told."""
    blocks = system.evidence.blocks
    blocks.append(blocks.pop(index_of(system, "blocked")))


def tell_wrong_news(system: System) -> None:
    """A block that never was."""
    system.say(Blocked(PARTITION, Position(1, 4), "anna", START + 9_999), system.committed_ms + 9)


def write_as_a_zombie(system: System) -> None:
    """Two heartbeats of an owner that has a successor: the first may have been on its way."""
    system.say(Heartbeat(PARTITION, 6, Position(1, 1)), system.committed_ms + 9)
    assert differences(system.evidence) == []
    system.say(Heartbeat(PARTITION, 6, Position(1, 1)), system.committed_ms + 9)


def keep_another_state(system: System) -> None:
    """A count that is one too high."""
    system.evidence.states[0] = system.evidence.states[0]._replace(in_a_row=2)


def keep_a_state_too_many(system: System) -> None:
    """Somebody who never tried has failures."""
    system.evidence.states.append(system.evidence.states[0]._replace(user="carla"))


def stop_early(system: System) -> None:
    """The log goes on behind the last decision."""
    system.evidence.progress[PARTITION] -= 1


def quarantine_what_is_fine(system: System) -> None:
    """A record is put aside that can be read."""
    system.evidence.quarantined.add((PARTITION, 5))


def lose_a_record(system: System) -> None:
    """The log itself has a gap."""
    del system.evidence.attempts[5]


def index_of(system: System, kind: str) -> int:
    """Where the first news of this kind stand."""
    return next(n for n, r in enumerate(system.evidence.blocks) if r.fields and r.fields[0] == kind)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (skip_a_row, "was never decided"),
        (skip_a_record, "against it"),
        (apply_twice, "against it"),
        (decide_out_of_order, "was decided as"),
        (publish_before_commit, "before its commit"),
        (commit_before_the_last_is_acknowledged, "before the verdicts of"),
        (lose_a_verdict, "was never said"),
        (say_it_to_another, "contradicts the log"),
        (make_up_a_verdict, "contradicts the log"),
        (contradict_a_verdict, "contradicts the log"),
        (lose_the_news, "were never told"),
        (tell_the_news_late, "before the news of"),
        (tell_wrong_news, "news contradict"),
        (write_as_a_zombie, "a former owner"),
        (keep_another_state, "against it"),
        (keep_a_state_too_many, "against it"),
        (stop_early, "stands at"),
        (quarantine_what_is_fine, "in quarantine"),
        (lose_a_record, "not whole"),
    ],
)
def test_it_notices_a_system_that_is_wrong(break_it: Callable[[System], None], says: str):
    """Each kind of mistake, in a run that is right otherwise."""
    system = System(ORDINARY)
    assert differences(system.evidence) == []
    break_it(system)
    found = differences(system.evidence)
    assert any(says in sentence for sentence in found), found


def answer(
    user: str, right: bool, status: int, at: int, took: int = 4, before: int = 2
) -> Answered:
    """An answer to an attempt that was appended at this time."""
    return Answered(user, right, status, START + at - before, START + at - before + took)


ANSWERS = [
    answer("anna", False, 401, 20),
    answer("anna", False, 401, 30),
    answer("anna", True, 200, 40),
    answer("ben", False, 401, 50),
    answer("ben", False, 401, 60),
    answer("ben", False, 401, 70),
    answer("ben", True, 429, 80),
    answer("ben", True, 200, 100),
    answer("anna", False, 401, 110),
]


def found_with(answers: list[Answered]) -> list[str]:
    """What the oracle says about these answers of a right system."""
    system = System(ORDINARY)
    system.evidence.answers = answers
    return differences(system.evidence)


@pytest.mark.parametrize(
    "answers",
    [
        ANSWERS,
        [*ANSWERS, answer("ben", False, 429, 85)],  # by a view, without an attempt
        [*ANSWERS, answer("ben", False, 429, 2_000, before=1_000)],  # ... that hears it late
        [*ANSWERS, answer("anna", True, 503, 200), answer("anna", True, 0, 300)],
        [*ANSWERS[:-1], answer("anna", False, 503, 110)],
        [*ANSWERS[:-1], Answered("anna", False, 0, START + 10, START + 12)],  # it came in later
        # Three that overlap, of which only the right choice explains all.
        [
            Answered("anna", False, 401, START + 15, START + 35),
            Answered("anna", False, 401, START + 15, START + 25),
            *ANSWERS[2:],
        ],
    ],
)
def test_answers_that_the_log_explains_are_right(answers: list[Answered]):
    """Each answer by an attempt of its own, each attempt by a request of its own."""
    assert found_with(answers) == []


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([*ANSWERS, answer("anna", False, 401, 20)], "no attempt in the log explains it"),
        ([*ANSWERS, answer("ben", True, 200, 100)], "no attempt in the log explains it"),
        ([*ANSWERS, answer("carla", True, 200, 40)], "no attempt in the log explains it"),
        ([*ANSWERS[:-1], answer("anna", False, 401, 200)], "no attempt in the log explains it"),
        ([*ANSWERS, answer("ben", False, 200, 100)], "with a wrong password"),
        ([*ANSWERS, answer("ben", True, 401, 70)], "with the right password"),
        ([*ANSWERS, answer("anna", True, 429, 50)], "no block stood"),
        ([*ANSWERS, answer("ben", True, 429, 5_000)], "no block stood"),
        ([*ANSWERS, answer("anna", True, 500, 50)], "answered 500"),
        (ANSWERS[:-1], "that no client made"),
        ([*ANSWERS[:-1], answer("anna", True, 503, 110)], "that no client made"),
        ([answer("anna", False, 429, 20), *ANSWERS[1:]], "answer says something else"),
    ],
)
def test_answers_that_the_log_does_not_explain_are_noticed(answers: list[Answered], says: str):
    """Made-up and contradicting answers, and attempts that nobody made."""
    found = found_with(answers)
    assert any(says in sentence for sentence in found), found


def test_a_record_that_cannot_be_read_belongs_into_quarantine():
    """And the partition goes on."""
    system = System(ORDINARY)
    system.evidence.attempts.append(Logged(PARTITION, len(ORDINARY), START + 120, None))
    system.evidence.progress[PARTITION] += 1
    assert [s for s in differences(system.evidence) if "not in quarantine" in s]
    system.evidence.quarantined.add((PARTITION, len(ORDINARY)))
    assert differences(system.evidence) == []
