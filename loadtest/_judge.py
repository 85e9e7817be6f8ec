"""Was every answer right? Pure logic over what each client sent, when, and what it was answered.

Clients overlap, so the order in which the log saw them is not always known. An attempt stands in
the log somewhere between ``sent`` and ``answered``; what is reported here is wrong in every order
that these times allow. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf

ACCEPTED, WRONG, FINAL, BLOCKED, UNAVAILABLE = 200, 401, 403, 429, 503
NO_ANSWER = 0


@dataclass(frozen=True)
class Rules:
    """The policy that the system under test is run with."""

    threshold: int
    window_seconds: float
    block_seconds: float  # inf: until an operator lifts it

    @property
    def horizon(self) -> float:
        """Within this time no failure grows too old to count, and no block ends."""
        return min(self.window_seconds, self.block_seconds)


@dataclass(slots=True, eq=False)
class Attempt:
    """One login: whether its password was right, and what came of it."""

    right: bool
    sent: float
    answered: float = inf
    status: int | None = None  # None: under way, or cut off by the end of the run

    @property
    def refused(self) -> bool:
        """Whether it was turned away as blocked, which neither counts nor clears."""
        return self.status in (BLOCKED, FINAL)

    @property
    def unsure(self) -> bool:
        """Whether it may be in the log, or get there later, though no verdict was seen."""
        return self.status is None or self.status == NO_ANSWER or self.status >= 500


@dataclass
class Account:
    """The attempts on one account, by the time they were sent, and the look-up of its block."""

    attempts: list[Attempt] = field(default_factory=list)
    lookup: int | None = None  # the status of GET /blocked/<user>, when it had to be listed

    def clears(self) -> list[Attempt]:
        """What cleared the count of failures, or may have, by the time it was sent."""
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


class Ledger:
    """What every client was answered, by account."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.problems: list[str] = []  # answers that the documentation does not have

    def begin(self, user: str, *, right: bool, now: float) -> Attempt:
        """Note a login before it is sent."""
        attempt = Attempt(right, now)
        self.accounts[user].attempts.append(attempt)
        return attempt

    def end(self, attempt: Attempt, status: int, *, now: float, problem: str | None) -> None:
        """Note its answer; 0 is none, and ``problem`` is what :func:`complaint` says of it."""
        attempt.status = status
        attempt.answered = now
        if problem:
            self.problems.append(problem)

    def must_be_listed(self, user: str, *, now: float) -> bool:
        """Whether the answers in hand prove the account blocked, which nobody has looked up yet."""
        account = self.accounts[user]
        if account.lookup is not None:
            return False
        run = account.runs().get(len(account.clears()), [])[: self.rules.threshold]
        return len(run) == self.rules.threshold and now - run[0].sent < self.rules.horizon

    def looked_up(self, user: str, status: int, *, problem: str | None) -> None:
        """Note what ``GET /blocked/<user>`` answered."""
        self.accounts[user].lookup = status
        if problem:
            self.problems.append(problem)

    def seen(self) -> dict[int, int]:
        """How often each status was answered to a login; 0 is no answer."""
        counts: dict[int, int] = defaultdict(int)
        for account in self.accounts.values():
            for attempt in account.attempts:
                if attempt.status is not None:
                    counts[attempt.status] += 1
        return dict(counts)


@dataclass(frozen=True)
class Check:
    """One thing that must hold: what, how much was looked at, and what broke it."""

    what: str
    looked_at: str
    broken: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing broke it."""
        return not self.broken


def complaint(
    what: str, status: int, documented: Collection[int], retry_after: str | None, body: object
) -> str | None:
    """What is not as documented in an answer, or None.

    A 503 is always documented, in one form. ``body`` is the answer's JSON, None if it has none.
    """
    if status == NO_ANSWER:
        return f"{what} got no answer"
    if status != UNAVAILABLE and status not in documented:
        return f"{what} was answered {status}"
    if status in (UNAVAILABLE, BLOCKED) and not (retry_after or "").isdecimal():
        return f"{what} was answered {status} without a Retry-After in seconds"
    error = body.get("error") if isinstance(body, dict) else None
    if status == UNAVAILABLE and not isinstance(error, str):
        return f"{what} was answered {status} without a JSON error"
    return None


def judge(ledger: Ledger, must_see: Iterable[int]) -> list[Check]:
    """Everything that must hold after a run; ``must_see`` are the statuses that it is about."""
    rules, accounts = ledger.rules, ledger.accounts
    seen = ledger.seen()
    total = f"{sum(seen.values()):,} answers"
    refusals = f"{seen.get(BLOCKED, 0) + seen.get(FINAL, 0):,} refusals"
    lookups = {user: a.lookup for user, a in accounts.items() if a.lookup is not None}

    def each(find: Callable[[Account, Rules], Iterator[str]]) -> list[str]:
        return [f"{user}: {what}" for user, a in accounts.items() for what in find(a, rules)]

    must = sorted(set(must_see))
    unseen = [f"no login was answered {status}" for status in must if status not in seen]
    if BLOCKED in must and not lookups:
        unseen.append(f"nobody had {rules.threshold} wrong answers of one account in hand")
    return [
        Check(
            f"No account revealed more than {rules.threshold} wrong passwords",
            f"{len(accounts):,} accounts",
            each(_revealed_too_many),
        ),
        Check("Nobody got in with a wrong password or while blocked", total, each(_let_in)),
        Check("No right password was called wrong", total, each(_called_wrong)),
        Check("Nobody was refused without cause", refusals, each(_refused_without_cause)),
        Check(
            f"Whoever had {rules.threshold} wrong answers in hand found the account blocked",
            f"{len(lookups):,} look-ups",
            [f"{user}: GET /blocked/{user} said 404" for user, s in lookups.items() if s == 404],
        ),
        Check("Every answer was one that is documented", total, _counted(ledger.problems)),
        Check(
            "The run saw what it is about",
            ", ".join(str(status) for status in must),
            unseen,
        ),
    ]


def _revealed_too_many(account: Account, rules: Rules) -> Iterator[str]:
    for run in account.runs().values():
        for first, *others in zip(*(run[i:] for i in range(rules.threshold + 1)), strict=False):
            if max(a.answered for a in others) - first.sent < rules.horizon:
                yield f"{len(run)} wrong passwords revealed with no success in between"
                return
    # However the overlapping ones are ordered: each success can follow one less than it takes.
    wrong = [a for a in account.attempts if a.status == WRONG]
    most = rules.threshold + (rules.threshold - 1) * len(account.clears())
    if len(wrong) > most and _span(wrong) < rules.horizon:
        yield f"{len(wrong)} wrong passwords revealed in all, {most} at most are possible"


def _let_in(account: Account, rules: Rules) -> Iterator[str]:
    if any(a.status == ACCEPTED and not a.right for a in account.attempts):
        yield "a wrong password was answered 200"
    clears = account.clears()
    for before, run in account.runs().items():
        if before < len(clears) and len(run) >= rules.threshold:
            success = clears[before]
            if success.status == ACCEPTED and success.answered - run[0].sent < rules.horizon:
                yield f"answered 200 after {len(run)} wrong passwords in a row"


def _called_wrong(account: Account, rules: Rules) -> Iterator[str]:
    if any(a.status == WRONG and a.right for a in account.attempts):
        yield "the right password was answered 401"


def _refused_without_cause(account: Account, rules: Rules) -> Iterator[str]:
    # The newest success that certainly came before a refusal has cleared what was before itself.
    successes = [a for a in account.attempts if a.right and a.status == ACCEPTED]
    successes.sort(key=lambda a: a.answered)
    answered = [a.answered for a in successes]
    newest = list(accumulate((a.sent for a in successes), max, initial=-inf))
    counted = [a for a in account.attempts if not a.right and (a.status == WRONG or a.unsure)]
    for refusal in (a for a in account.attempts if a.refused):
        cleared = newest[bisect_right(answered, refusal.sent)]
        causes = sum(
            a.sent < refusal.answered and (a.unsure or a.answered > cleared) for a in counted
        )
        if causes < rules.threshold:
            kind = "right" if refusal.right else "wrong"
            yield f"a {kind} password was answered {refusal.status} after {causes} wrong ones"
            return


def _span(attempts: list[Attempt]) -> float:
    return max(a.answered for a in attempts) - min(a.sent for a in attempts)


def _counted(problems: list[str]) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for problem in problems:
        counts[problem] += 1
    return [f"{problem} ({count:,} times)" for problem, count in counts.items()]
