"""The oracle itself: it agrees with right systems and notices each way of being wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import (
    Attempt,
    AttemptsMessage,
    Block,
    Blocked,
    BlocksMessage,
    Decision,
    Deleted,
    Enabled,
    Heartbeat,
    PasswordChanged,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    Verdict,
    encode,
)
from events.partitioner import partition_of
from events.positions import Position
from loadtest.histories import ClockApart
from oracle.records import Logged, logged
from oracle.replay import MOST_DEVICES, REACH, REACH_MS
from tests.harness.evidence import (
    Answered,
    Audited,
    Evidence,
    Locked,
    Restored,
)
from tests.harness.oracle import ON_THEIR_WAY, differences
from tests.harness.oracle_replay import replay
from workers.decision.batch import (
    AuditRow,
    Batch,
    Record,
    decide,
    decode,
    until_deletion,
)
from workers.decision.policy import CLEAN, LockState

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
        start = 0
        while start < len(log):
            start = self.run(self.records[start : start + batch_size]).to_offset
        self.keep()

    def run(self, records: Sequence[Record]) -> Batch:
        """Decide, commit and publish a batch."""
        batch = self.decide(records)
        self.committed_ms += 1_000
        if batch.deletion is not None:
            self.evidence.audit = [
                row._replace(
                    **dict.fromkeys(("source", "user_agent", "device", "guess", "reason")), user=""
                )
                if row.user == batch.deletion.user
                else row
                for row in self.evidence.audit
            ]
        for row in batch.audit:
            self.evidence.audit.append(self.audited(row))
            self.publish(row, self.committed_ms + 2)
        self.evidence.progress[PARTITION] = batch.to_offset
        self.say(Heartbeat(PARTITION, 7, Position(1, batch.to_offset)), self.committed_ms + 3)
        return batch

    def decide(self, records: Sequence[Record]) -> Batch:
        """The decisions on the records, with the states after them."""
        states = {user: state for user, (state, _) in self.states.items()}
        some = until_deletion(decode(records))
        batch = decide(records[0].offset, some, states, self.policy)
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
            row.source,
            row.user_agent,
            row.delayed_ms,
            row.device,
            row.guess,
            row.operator,
            row.reason,
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

    def verdicts_of(self, row: Audited) -> list[Logged]:
        """The verdicts that were published of a decision."""
        return [said for said in self.evidence.verdicts if said.fields and said.fields[1] == row.id]

    def keep(self) -> None:
        """The states as they are read back."""
        self.evidence.states = [
            Locked(
                user,
                state.failures_ms,
                state.consecutive_failures,
                state.blocks,
                state.since_ms,
                state.until_ms,
                state.last_ms,
                state.forget_ms,
                state.by_hand,
                PARTITION,
                offset,
                tuple(guess.hex() for guess in state.guesses),
                tuple(
                    (
                        each.id.hex(),
                        each.failures,
                        each.until_ms,
                        tuple(g.hex() for g in each.guesses),
                    )
                    for each in state.devices
                ),
            )
            for user, (state, offset) in self.states.items()
            if state != CLEAN
        ]


def log_of(
    *events: tuple[int, str, str], policy: Policy = POLICY
) -> list[tuple[int, AttemptsMessage]]:
    """A log from (when, what, user), after the policy.

    A user may have a device, "anna on 1", and a password, "wrong 7".
    """
    log: list[tuple[int, AttemptsMessage]] = [(0, SetPolicy(id_of(0), 0, policy))]
    for ms, what, user in events:
        id_, reply = id_of(len(log)), len(log) % 4
        what, _, password = what.partition(" ")
        user, _, device = user.partition(" on ")
        match what:
            case "right" | "wrong":
                came_from = ("192.0.2.7", "curl") if len(log) % 2 else (None, None)
                by = id_of(int(device)) if device else None
                guess = int(password).to_bytes(8, "big") if password else None
                if guess and len(log) % 3 == 0:
                    guess += (int(password) - 1).to_bytes(8, "big")
                attempt = Attempt(id_, reply, user, what == "right", 0, 0, *came_from, by, guess)
                log.append((ms, attempt))
            case "registered":
                log.append((ms, Registered(id_, reply, user)))
            case "unblock":
                log.append((ms, Unblock(id_, reply, user, 0, 0, "cleo", "she called")))
            case "block":
                length = int(password or 0)
                log.append((ms, Block(id_, reply, user, 0, 0, "cleo", "robbed", length)))
            case "enabled":
                log.append((ms, Enabled(id_, reply, user, 0, 0, "cleo")))
            case "password":
                log.append((ms, PasswordChanged(id_, reply, user)))
            case "deleted":
                log.append((ms, Deleted(id_, reply, user)))
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
        st.sampled_from(
            [
                *("wrong", "wrong", "wrong 1", "wrong 2", "wrong 3", "wrong 4"),
                *("right", "registered", "unblock", "password", "deleted"),
                *("block", "block 300", "enabled"),
            ]
        ),
        st.sampled_from(["anna", "ben", "anna on 1", "anna on 2", "ben on 1"]),
    ),
    max_size=60,
)


REPEATED = st.sampled_from(["count", "ignore"])


FORGETTING = st.sampled_from([(0, 0), (1_200, 0), (2_000, 500), (0, 700)])
"""After how many milliseconds, and for each wrong password in a row."""


@given(EVENTS, st.integers(1, 9), REPEATED, FORGETTING)
def test_it_agrees_with_the_workers_about_any_log(
    steps: list[tuple[int, str, str]],
    size: int,
    repeated: Literal["count", "ignore"],
    forgetting: tuple[int, int],
):
    """Two implementations of one policy, over windows, doubled blocks and final ones."""
    now, events = 0, []
    for pause, what, user in steps:
        now += pause
        events.append((now, what, user))
    forget, each = forgetting
    policy = msgspec.structs.replace(
        POLICY, repeated_guesses=repeated, forget_ms=forget, forget_each_ms=each
    )
    assert differences(System(log_of(*events, policy=policy), size).evidence) == []


def test_it_agrees_about_more_devices_than_an_account_has():
    """One goes for each further one, and the used-up ones are the last to go."""
    steps = [(n % 7, f"anna on {1 + n * n % 37}") for n in range(150)]
    log = log_of(
        *((100 * n, "wrong" if kind else "right", user) for n, (kind, user) in enumerate(steps))
    )
    assert differences(System(log).evidence) == []
    broken = System(log)
    (locked,) = broken.evidence.states
    assert len(locked.devices) == MOST_DEVICES
    broken.evidence.states = [locked._replace(devices=locked.devices[1:])]
    assert differences(broken.evidence)


def test_it_follows_accounts_to_their_new_partitions():
    """All of the small layout comes before any of the large one; late records are not decided."""
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
            SetLayout(id_of(6), 0, 2, "cleo", "it grows"),
            Attempt(id_of(7), 0, "anna", False, 2),
            Attempt(id_of(8), 0, "anna", True, 2),
        ],
    }
    replayed = replay(
        [
            logged(partition, offset, START + offset, encode(message))
            for partition, log in reversed(logs.items())
            for offset, message in enumerate(log)
        ]
    )
    accepted, rejected, blocked, moved, *_ = Decision
    decisions = {
        p: [(d.decision, d.generation) for d in r.decided] for p, r in replayed.partitions.items()
    }
    assert decisions == {
        0: [(accepted, 1), (rejected, 1), (rejected, 1), (accepted, 2), (moved, 2)],
        1: [(accepted, 1), (accepted, 2), (rejected, 2), (blocked, 2)],
    }
    assert replayed.accounts["anna"].partition == 1
    said = [(d.operator, d.reason) for d in replayed.partitions[1].decided]
    assert said == [(None, None), ("cleo", "it grows"), (None, None), (None, None)]


def test_what_came_late_has_the_name_or_not_once_that_is_deleted():
    """Nobody can tell by the logs which of two partitions was first; and by one's own, one can."""
    logs: dict[int, list[AttemptsMessage]] = {
        0: [SetLayout(id_of(1), 0, 2), Attempt(id_of(2), 0, "anna", True, 1)],
        1: [
            SetLayout(id_of(3), 0, 2),
            Attempt(id_of(4), 0, "anna", False, 2),
            Deleted(id_of(5), 0, "anna", 2),
            Attempt(id_of(6), 0, "anna", False, 2),
        ],
    }
    replayed = replay(
        [
            logged(partition, offset, START + offset, encode(message))
            for partition, log in logs.items()
            for offset, message in enumerate(log)
        ]
    )
    assert replayed.perhaps_nameless == {(0, 1)}
    assert replayed.nameless == {(1, 1)}


def test_it_counts_a_request_once_however_often_it_is_in_the_log():
    """As far as that is a producer's doing, and not somebody's who has seen the id before."""
    once, again = Attempt(id_of(1), 0, "anna", False, 4), Attempt(id_of(2), 0, "anna", False, 4)
    log = {0: SetPolicy(id_of(0), 0, POLICY), 1: once, 2: again, 3: once}
    log |= {3 + REACH: once, 4 + 2 * REACH: once}
    times = {at: START + (REACH_MS + 2 if at > 4 + REACH else at // REACH) for at in log}
    here = partition_of("anna", 4)
    replayed = replay([logged(here, at, times[at], encode(message)) for at, message in log.items()])
    accepted, rejected, _, _, repeated, _ = Decision
    decisions = [decided.decision for decided in replayed.partitions[here].decided]
    assert decisions == [accepted, rejected, rejected, repeated, repeated, rejected]


def test_it_wants_the_name_out_of_all_that_a_deletion_found():
    """Where one is left, and where one is missing."""
    log = log_of(
        *((10, "wrong", "anna"), (20, "wrong", "ben"), (30, "wrong", "anna")),
        *((40, "deleted", "anna"), (50, "wrong", "anna")),
    )
    system = System(log)
    assert [row.user for row in system.evidence.audit] == ["", "", "ben", "", "", "anna"]
    for index, user in ((1, "anna"), (4, "anna"), (2, ""), (5, "")):
        broken = System(log)
        broken.evidence.audit[index] = broken.evidence.audit[index]._replace(user=user)
        assert differences(broken.evidence), (index, user)
    late = System(log)
    for index in (1, 3):  # Postgres has the time of the last change of a row
        row = late.evidence.audit[index]
        late.evidence.audit[index] = row._replace(committed_ms=late.committed_ms + 9_000.0)
    assert differences(late.evidence) == []


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


def forget_where_it_came_from(system: System) -> None:
    """Nothing of it decides, but operators look for it."""
    index = next(n for n, row in enumerate(system.evidence.audit) if row.source)
    row = system.evidence.audit[index]
    system.evidence.audit[index] = row._replace(source=None)


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


def tell_the_asker_first(system: System) -> None:
    """The operator who unblocks is answered before gateways can hear of it."""
    index = index_of(system, "unblocked")
    record = system.evidence.blocks[index]
    system.evidence.blocks[index] = record._replace(ms=record.ms + 1)


def write_as_a_zombie(system: System) -> None:
    """More heartbeats of an owner that has a successor than may have been on their way."""
    for _ in range(ON_THEIR_WAY):
        system.say(Heartbeat(PARTITION, 6, Position(1, 1)), system.committed_ms + 9)
    assert differences(system.evidence) == []
    system.say(Heartbeat(PARTITION, 6, Position(1, 1)), system.committed_ms + 9)


def keep_another_state(system: System) -> None:
    """A count that is one too high."""
    system.evidence.states[0] = system.evidence.states[0]._replace(consecutive_failures=2)


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
        (forget_where_it_came_from, "was decided as"),
        (publish_before_commit, "before its commit"),
        (commit_before_the_last_is_acknowledged, "before the verdicts of"),
        (lose_a_verdict, "was never said"),
        (say_it_to_another, "contradicts the log"),
        (make_up_a_verdict, "contradicts the log"),
        (contradict_a_verdict, "contradicts the log"),
        (lose_the_news, "were never told"),
        (tell_the_news_late, "before the news of"),
        (tell_wrong_news, "news contradict"),
        (tell_the_asker_first, "before its news"),
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


def test_what_is_decided_once_more_after_a_restore_may_be_committed_after_it_was_said():
    """Nothing that came later, and nothing that the older database had."""
    system = System(ORDINARY)
    publish_before_commit(system)
    offset = next(
        row.offset
        for row in system.evidence.audit
        if any(said.ms < row.committed_ms for said in system.verdicts_of(row))
    )
    ms = system.records[offset].appended_ms
    system.evidence.restored = [Restored({PARTITION: offset}, ms)]
    assert differences(system.evidence) == []
    for not_that in (Restored({PARTITION: offset + 1}, ms), Restored({PARTITION: 0}, ms - 1)):
        system.evidence.restored = [not_that]
        assert any("before its commit" in found for found in differences(system.evidence))


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
    """The differences that the oracle finds in these answers of a right system."""
    system = System(ORDINARY)
    system.evidence.answers = answers
    return differences(system.evidence)


@pytest.mark.parametrize(
    "answers",
    [
        ANSWERS,
        [*ANSWERS, answer("ben", False, 429, 85)],  # by a blocklist, without an attempt
        [*ANSWERS, answer("ben", False, 429, 570)],  # ... that hears late that it is lifted
        [*ANSWERS, answer("ben", False, 429, 6_000, took=5_700, before=5_600)],  # ... slowly
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
        ([*ANSWERS, answer("ben", True, 429, 580)], "no block stood"),  # it would end at 570
        ([*ANSWERS, answer("ben", True, 429, 20_000)], "no block stood"),
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


@pytest.mark.parametrize(("started", "stood"), [(572, True), (580, False)])
def test_nobody_is_refused_for_a_block_that_is_over(started: int, stood: bool):
    """A gateway refuses only while it is sure that the block stands: it has no second for that."""
    system = System(ORDINARY[:8])  # ben's block ends at 570
    answered = Answered("ben", True, 429, START + started, START + started + 900)
    system.evidence.answers = [*ANSWERS[:6], answered]
    assert any("no block stood" in s for s in differences(system.evidence)) != stood


def test_a_record_that_cannot_be_read_belongs_into_quarantine():
    """And the partition goes on."""
    system = System(ORDINARY)
    system.evidence.attempts.append(Logged(PARTITION, len(ORDINARY), START + 120, None))
    system.evidence.progress[PARTITION] += 1
    assert [s for s in differences(system.evidence) if "not in quarantine" in s]
    system.evidence.quarantined.add((PARTITION, len(ORDINARY)))
    assert differences(system.evidence) == []


@pytest.mark.parametrize("ahead", [90_000, -90_000])
def test_answers_are_explained_while_the_clock_of_a_broker_is_wrong(ahead: int) -> None:
    """The block follows the log's time; its answers stand where they were given."""
    log = log_of(
        (10, "registered", "anna"),
        (20, "wrong", "anna"),
        (30, "wrong", "anna"),
        (40, "right", "anna"),
        (50 + ahead, "wrong", "ben"),
        (60 + ahead, "wrong", "ben"),
        (70 + ahead, "wrong", "ben"),
        (80, "right", "ben"),
        (90, "unblock", "ben"),
        (100, "right", "ben"),
        (110, "wrong", "anna"),
    )
    system = System(log)
    by_the_log = answer("ben", True, 429 if ahead > 0 else 200, 80)
    by_a_view = answer("ben", False, 429, 74)
    system.evidence.answers = [*ANSWERS[:6], by_the_log, *ANSWERS[7:], by_a_view]
    assert any("no attempt in the log explains it" in s for s in differences(system.evidence))
    system.evidence.clocks = [ClockApart(START + 45, START + 75, ahead)]
    assert differences(system.evidence) == []
    system.evidence.answers.append(answer("ben", False, 429, 20_000))
    assert any("no block stood" in s for s in differences(system.evidence))
    system.evidence.answers[-1] = answer("ben", False, 429, 40)
    assert any("no block stood" in s for s in differences(system.evidence))


def test_times_of_clocks_that_were_wrong_are_not_compared() -> None:
    """Neither the broker's nor the database's; times from long before or after are."""
    system = System(ORDINARY)
    publish_before_commit(system)
    for begin, agrees in ((START, False), (START + 60_000, True)):
        clocks = [ClockApart(begin, begin + 1_000, 90_000)]
        for system.evidence.clocks, system.evidence.database_clocks in ((clocks, []), ([], clocks)):
            found = differences(system.evidence)
            assert any("before its commit" in sentence for sentence in found) == agrees
