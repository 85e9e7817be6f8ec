"""The calls of each client with their times and answers: all that the judge knows.

Clients overlap, so the order in which the log saw them is not always known. An attempt stands in
the log somewhere between ``sent`` and ``answered``. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf

ACCEPTED, CREATED, WRONG, FINAL, TAKEN, BLOCKED, UNAVAILABLE = 200, 201, 401, 403, 409, 429, 503
NO_ANSWER = 0
LOOK_UP, LIST, REGISTER, UNBLOCK = "look", "list", "register", "unblock"
"""The questions besides logins, by the names that :mod:`loadtest.histories` has for them."""


@dataclass(frozen=True)
class Rules:
    """The policy that the system under test says that it has."""

    threshold: int
    window_seconds: float  # inf: however far apart
    block_seconds: float  # inf: until an operator lifts it

    @property
    def horizon(self) -> float:
        """Within this time no failure grows too old to count, and no block ends."""
        return min(self.window_seconds, self.block_seconds)

    def __str__(self) -> str:
        """The policy in a sentence."""
        within = "" if self.window_seconds == inf else f" within {self.window_seconds:g} s"
        block = "until an operator lifts it"
        if self.block_seconds < inf:
            block = f"for {self.block_seconds:g} s"
        return f"{self.threshold} wrong passwords{within} block an account {block}"


@dataclass(slots=True, eq=False)
class Attempt:
    """One login: whether its password was right, and what came of it."""

    right: bool
    sent: float
    answered: float = inf  # or cut off by the end of the run
    status: int | None = None  # None: under way, or cut off
    until: float = -inf  # the answer says that the account is blocked until then at least

    @property
    def refused(self) -> bool:
        """Whether it was turned away as blocked, which neither counts nor clears."""
        return self.status in (BLOCKED, FINAL)

    @property
    def unsure(self) -> bool:
        """Whether it may be in the log, or get there later, though no verdict was seen."""
        return self.status is None or self.status == NO_ANSWER or self.status >= 500


@dataclass(slots=True, eq=False)
class Question:
    """One request besides logins: a registration, an unblocking, or a look at a block."""

    kind: str
    sent: float
    answered: float = inf
    status: int | None = None  # None: under way, or cut off by the end of the run


@dataclass
class Account:
    """All calls that concern one account."""

    attempts: list[Attempt] = field(default_factory=list)  # by the time they were sent
    questions: list[Question] = field(default_factory=list)
    wrong_in_a_row: int = 0  # roughly: a reason to look closer, and no proof
    until: float = -inf  # the latest of its attempts'
    looked_for: bool = False  # whether somebody was told to look it up

    def of_kind(self, kind: str) -> list[Question]:
        """The questions of this kind."""
        return [question for question in self.questions if question.kind == kind]

    def clears(self) -> list[Attempt]:
        """The calls that cleared the count of failures, or may have, by the time of sending."""
        return [a for a in self.attempts if a.right and (a.status == ACCEPTED or a.unsure)]

    def runs(self) -> dict[int, list[Attempt]]:
        """The revealed wrong answers that no success can stand between.

        By the number of clears before them. One that overlaps a clear is in no run.
        """
        clears = self.clears()
        sent = [c.sent for c in clears]
        # One that was never decided may be cleared at any later time.
        ends = [inf if c.unsure else c.answered for c in clears]
        latest = list(accumulate(ends, max, initial=-inf))
        runs: dict[int, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            if attempt.status == WRONG:
                before = bisect_left(sent, attempt.answered)
                if latest[before] <= attempt.sent:
                    runs[before].append(attempt)
        return runs

    def may_be_blocked(self, rules: Rules) -> bool:
        """Whether it was at any time, by what is known."""
        wrong = sum(not a.right and (a.status == WRONG or a.unsure) for a in self.attempts)
        return wrong >= rules.threshold or any(a.refused for a in self.attempts)

    def is_blocked(self, rules: Rules, start: float, end: float) -> bool:
        """Whether what was answered by ``start`` proves a block that stands until ``end``."""
        known = Account([a for a in self.attempts if a.sent < end])
        if any(a.answered <= start and a.until > end for a in known.attempts):
            return True
        run = known.runs().get(len(known.clears()), [])
        run = [a for a in run if a.answered <= start][: rules.threshold]
        return len(run) == rules.threshold and end - run[0].sent < rules.horizon


class Ledger:
    """The answers that every client got, by account."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.problems: Counter[str] = Counter()  # answers that the documentation does not have
        self.ended: list[tuple[str, Attempt]] = []  # in the order of their answers

    def begin(self, user: str, *, right: bool, now: float) -> Attempt:
        """Note a login before it is sent."""
        attempt = Attempt(right, now)
        self.accounts[user].attempts.append(attempt)
        return attempt

    def end(
        self,
        user: str,
        attempt: Attempt,
        status: int,
        *,
        now: float,
        problem: str | None = None,
        retry_after: int = 0,
    ) -> None:
        """Note its answer; 0 is none, and ``problem`` is what :func:`complaint` says of it."""
        attempt.status = status
        attempt.answered = now
        if status == FINAL:
            attempt.until = inf
        elif status == BLOCKED and retry_after:
            attempt.until = attempt.sent + retry_after - 1  # it was rounded up
        account = self.accounts[user]
        account.until = max(account.until, attempt.until)
        if status == ACCEPTED:
            account.wrong_in_a_row = 0
        elif status == WRONG:
            account.wrong_in_a_row += 1
        self.ended.append((user, attempt))
        self.note(problem)

    def withdraw(self, user: str, attempt: Attempt) -> None:
        """Forget a login that was refused for its source: it is no call of the account's."""
        self.accounts[user].attempts.remove(attempt)

    def note(self, problem: str | None) -> None:
        """Note what is not as documented in an answer, if anything is."""
        if problem:
            self.problems[problem] += 1

    def must_be_listed(self, user: str, *, now: float) -> bool:
        """Whether the answers in hand prove a block that nobody has looked for; says so once."""
        account = self.accounts[user]
        if account.looked_for:
            return False
        if account.wrong_in_a_row < self.rules.threshold and account.until <= now:
            return False
        account.looked_for = account.is_blocked(self.rules, now, now)
        return account.looked_for

    def ask(self, user: str, kind: str, *, now: float) -> Question:
        """Note a question before it is sent."""
        question = Question(kind, now)
        self.accounts[user].questions.append(question)
        return question

    def answer(
        self, question: Question, status: int, *, now: float, problem: str | None = None
    ) -> None:
        """Note its answer, as :meth:`end` does for a login."""
        question.status, question.answered = status, now
        self.note(problem)

    def looked_up(
        self, user: str, status: int, *, sent: float, now: float, kind: str = LOOK_UP
    ) -> None:
        """Note what ``GET /blocked/<user>`` answered, or whether ``GET /blocked`` had it (404)."""
        self.answer(self.ask(user, kind, now=sent), status, now=now)

    def seen(self) -> Counter[int]:
        """How often each status was answered to a login or a registration; 0 is no answer."""
        counts: Counter[int] = Counter()
        for account in self.accounts.values():
            counts.update(a.status for a in account.attempts if a.status is not None)
            asked = account.of_kind(REGISTER)
            counts.update(question.status for question in asked if question.status is not None)
        return counts

    def between(self, start: float, end: float) -> Iterable[Attempt]:
        """The attempts that were answered in this time."""
        for _, attempt in reversed(self.ended):
            if start <= attempt.answered < end:
                yield attempt

    def sort(self) -> None:
        """Bring attempts that came from several processes into the order of their sending."""
        for account in self.accounts.values():
            account.attempts.sort(key=lambda attempt: attempt.sent)
        self.ended.sort(key=lambda entry: entry[1].answered)
