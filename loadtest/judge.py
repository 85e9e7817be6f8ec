"""Was every answer right? Pure logic over a :class:`Ledger`.

All that is reported here is wrong in every order of the log that the times of the attempts allow.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf
from statistics import median

from loadtest import histories
from loadtest.histories import Call
from loadtest.ledger import (
    ACCEPTED,
    BLOCKED,
    CREATED,
    FINAL,
    LOOK_UP,
    NO_ANSWER,
    REGISTER,
    TAKEN,
    UNAVAILABLE,
    UNBLOCK,
    WRONG,
    Account,
    Attempt,
    Ledger,
    Question,
    Rules,
)

STANDSTILL_SECONDS = 10.0  # twice the usual deadline
SLOWER_TIMES, SLOWER_SECONDS = 3.0, 0.1
FEWEST = 20  # logins at each end of a run, to compare them
MOST, LESS = 0.5, 0.25  # of right logins: so many get in at the end, and no share this much smaller

GIVEN_UP_BY = 0.7
"""The share of its deadline before which nobody can know that a login has to be given up."""

CLOCKS_SECONDS = 0.5
"""By so much may the last moment of a request be wrong: it is the brokers' time."""

LATE_SECONDS = 5.0
"""By so much may a client see an answer after its deadline: to connect, and to wait for a core."""

UNREAD_SECONDS = 45.0
"""So long a request whose client has left may wait until its gateway reads it."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold, how much was looked at, and the cases that broke it."""

    what: str
    looked_at: str
    broken: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing broke it."""
        return not self.broken


def complaint(
    what: str,
    status: int,
    documented: Collection[int],
    retry_after: str | None,
    body: object,
    *,
    early: bool = False,
) -> str | None:
    """The part of an answer that is not as documented, or None.

    A 503 is documented in one form, unless it came so ``early`` that waiting had not been in vain.
    ``body`` is the answer's JSON, None if it has none.
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
    if status == UNAVAILABLE and early:
        return f"{what} was answered {status} long before its deadline"
    return None


def judge(
    ledger: Ledger,
    must_see: Iterable[int],
    *,
    steady: bool = False,
    deadline: float = 5.0,
    calm_from: float | None = None,
) -> list[Check]:
    """Everything that must hold after a run.

    ``must_see`` are the statuses that it is about; ``steady`` is whether its load was the same
    all the time, so that it must not get slower; ``deadline`` is the gateways', in seconds;
    ``calm_from`` is when, by the ledger's clock, an overload was over, or None for none.
    """
    ledger.sort()
    rules, accounts = ledger.rules, ledger.accounts
    seen = ledger.seen()
    total = f"{sum(seen.values()):,} answers"
    refusals = f"{seen[BLOCKED] + seen[FINAL]:,} refusals"
    lookups = sum(len(account.of_kind(LOOK_UP)) for account in accounts.values())
    unblockings = sum(len(account.of_kind(UNBLOCK)) for account in accounts.values())
    # Only the search for an order knows the effect of an unblocking on an account.
    untouched = {user: a for user, a in accounts.items() if not a.of_kind(UNBLOCK)}

    def each(find: Callable[[Account, Rules], Iterator[str]]) -> list[str]:
        return [f"{user}: {what}" for user, a in untouched.items() for what in find(a, rules)]

    must = sorted(set(must_see))
    unseen = [f"nothing was answered {status}" for status in must if not seen[status]]
    if BLOCKED in must and not lookups:
        unseen.append("nobody had the proof of a block in hand")
    checks = [
        Check(
            f"No account revealed more than {rules.threshold} wrong passwords",
            f"{len(accounts):,} accounts",
            each(_revealed_too_many),
        ),
        Check("Nobody got in with a wrong password or while blocked", total, each(_let_in)),
        Check("No right password was called wrong", total, each(_called_wrong)),
        Check("Nobody was refused without cause", refusals, each(_refused_without_cause)),
        Check(
            "A client that had the proof of a block in hand found the account listed",
            f"{lookups:,} look-ups",
            each(_not_listed),
        ),
        Check(
            "A new name went to one who asked for it",
            f"{seen[CREATED] + seen[TAKEN]:,} registrations",
            each(_given_wrongly),
        ),
        Check(
            "The answers of each account have an order that the policy allows",
            f"{len(accounts):,} accounts, {unblockings:,} unblockings",
            list(_without_order(ledger, deadline)),
        ),
        Check(
            f"Logins never stood still for {STANDSTILL_SECONDS:g} s",
            f"{seen[ACCEPTED]:,} logins",
            list(_standstills(ledger)),
        ),
        Check(
            f"No login took {LATE_SECONDS:g} s longer than its deadline of {deadline:g} s",
            total,
            list(_late(ledger, deadline + LATE_SECONDS)),
        ),
        Check("Every answer was one that is documented", total, _counted(ledger)),
        Check("The run saw what it is about", ", ".join(map(str, must)), unseen),
    ]
    if steady:
        checks += [_got_slower(ledger), _got_fuller(ledger)]
    if calm_from is not None:
        checks.append(_recovered(ledger, calm_from))
    return checks


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


def _not_listed(account: Account, rules: Rules) -> Iterator[str]:
    for lookup in account.of_kind(LOOK_UP):
        if lookup.status == 404 and account.is_blocked(rules, lookup.sent, lookup.answered):
            yield "GET /blocked/<user> said 404 while it was blocked"
            return


def _given_wrongly(account: Account, rules: Rules) -> Iterator[str]:
    statuses = [question.status for question in account.of_kind(REGISTER)]
    created = statuses.count(CREATED)
    if created > 1:
        yield f"{created} registrations of the same name were answered 201"
    # One that was answered 503 or not at all may have been made.
    if statuses and set(statuses) == {TAKEN}:
        yield "the name was said to be taken, and nobody had it"


def _without_order(ledger: Ledger, deadline: float) -> Iterator[str]:
    rules = histories.Rules(
        threshold=ledger.rules.threshold,
        window_ms=ledger.rules.window_seconds * 1000,
        block_ms=0 if ledger.rules.block_seconds == inf else ledger.rules.block_seconds * 1000,
        final_failures=0,
        at_least=True,  # how much longer the next ones are is not known
    )
    calls = {user: list(_calls(a, deadline)) for user, a in ledger.accounts.items()}
    for user, gap in histories.gaps(calls, rules):
        yield f"{user}: {gap}"


def _calls(account: Account, deadline: float) -> Iterator[Call]:
    asked: list[tuple[str, Attempt | Question]] = [
        *(("right" if attempt.right else "wrong", attempt) for attempt in account.attempts),
        *((question.kind, question) for question in account.questions),
    ]
    for kind, one in asked:
        status = one.status or 0
        known = status and status < 500
        # Calls that clear an account get 503 no sooner than their last moment, others may.
        last = one.answered + deadline + CLOCKS_SECONDS
        if status != UNAVAILABLE:
            last += UNREAD_SECONDS
        elif kind != "right":
            last = max(one.answered, one.sent + deadline) + CLOCKS_SECONDS
        yield Call(
            kind,
            status if known else 0,
            one.sent * 1000,
            one.answered * 1000,
            inf if kind == "wrong" else last * 1000,
        )


def _standstills(ledger: Ledger) -> Iterator[str]:
    accepted = [a.answered for _, a in ledger.ended if a.right and a.status == ACCEPTED]
    failed = [
        attempt
        for account in ledger.accounts.values()
        if not account.may_be_blocked(ledger.rules)
        for attempt in account.attempts
        if attempt.right and attempt.status is not None and attempt.unsure
    ]
    for before, after in pairwise(sorted([-inf, *accepted, inf])):
        missed = [a for a in failed if before < a.answered < after]
        if missed:
            start = max(before, min(a.sent for a in missed))
            seconds = max(a.answered for a in missed) - start
            if seconds > STANDSTILL_SECONDS:
                yield f"nobody got in for {seconds:.0f} s, and {len(missed):,} should have"


def _late(ledger: Ledger, limit: float) -> Iterator[str]:
    attempts = [a for account in ledger.accounts.values() for a in account.attempts]
    late = [a for a in attempts if limit < a.answered - a.sent < inf]
    if late:
        longest = max(a.answered - a.sent for a in late)
        cut_off = sum(a.status is None for a in late)
        yield (
            f"{len(late):,} did, the longest {longest:.1f} s; {cut_off:,} of them had no answer "
            "when the run ended"
        )


def _got_slower(ledger: Ledger) -> Check:
    logins = [a for _, a in ledger.ended if a.status == ACCEPTED]
    fifth = len(logins) // 5
    first, last = (_typical(part) for part in (logins[:fifth], logins[len(logins) - fifth :]))
    enough = fifth >= FEWEST
    slower = enough and last > SLOWER_TIMES * first + SLOWER_SECONDS
    return Check(
        "The last fifth of the logins was not much slower than the first",
        f"p50 {first * 1000:.0f} ms and {last * 1000:.0f} ms" if enough else "too few logins",
        ["it was"] if slower else [],
    )


def _got_fuller(ledger: Ledger) -> Check:
    logins = _decidable(a for _, a in ledger.ended)
    fifth = len(logins) // 5
    first, last = (_share_let_in(part) for part in (logins[:fifth], logins[len(logins) - fifth :]))
    enough = fifth >= FEWEST
    return Check(
        "The last fifth of the right logins got in, as the first did",
        f"{first:.0%} and {last:.0%}" if enough else "too few logins",
        [f"only {last:.0%} did"] if enough and last < max(MOST, first - LESS) else [],
    )


def _recovered(ledger: Ledger, calm_from: float) -> Check:
    logins = _decidable(a for _, a in ledger.ended if a.sent >= calm_from)
    share, enough = _share_let_in(logins), len(logins) >= FEWEST
    return Check(
        "Most right logins got in when the overload was over",
        f"{share:.0%} of {len(logins):,}" if enough else "too few logins",
        [f"only {share:.0%} did"] if enough and share < MOST else [],
    )


def _decidable(attempts: Iterable[Attempt]) -> list[Attempt]:
    """The right logins that were let in, or should have been."""
    return [a for a in attempts if a.right and (a.status == ACCEPTED or a.unsure)]


def _share_let_in(attempts: list[Attempt]) -> float:
    return sum(a.status == ACCEPTED for a in attempts) / len(attempts) if attempts else 0.0


def _typical(attempts: list[Attempt]) -> float:
    return median(a.answered - a.sent for a in attempts) if attempts else 0.0


def _span(attempts: list[Attempt]) -> float:
    return max(a.answered for a in attempts) - min(a.sent for a in attempts)


def _counted(ledger: Ledger) -> list[str]:
    return [f"{problem} ({count:,} times)" for problem, count in ledger.problems.items()]
