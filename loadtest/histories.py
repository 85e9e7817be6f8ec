"""Judges what clients saw: is there one order of an account's calls that the policy allows?

In the manner of Wing and Gong's search, as Porcupine and Knossos do it: each call took effect at
one moment between its begin and its end, and a call without an answer perhaps. It shares no code
with workers or gateway.

Times are in milliseconds on one clock. Where it depends on times that only the log knows whether a
wrong password still counts, or a block still stands, both are allowed: so a history without an
order is a broken promise, while a few broken ones may pass. A call comes into the log between its
begin and its effect, which may be seconds later, and after those that have their effect before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

STALE_MS = 2_000
"""A gateway may refuse so long after an unblocking was answered."""

MOST_STATES = 200_000
"""States that one search goes through besides those that each bring it to a further call; more is a
failure of the search, and is said so."""


class Rules(NamedTuple):
    """The documented policy."""

    threshold: int = 5
    window_ms: float = 900_000
    block_ms: float = 1_800_000
    """0: until an operator lifts it."""
    block_max_ms: float = 86_400_000
    final_failures: int = 100
    """0: never."""
    at_least: bool = False
    """Whether a block may be longer than this says, for all that is known."""


class Era(NamedTuple):
    """A time in which a policy may have been in force."""

    begin: float
    end: float
    rules: Rules


class ClockApart(NamedTuple):
    """A time in which a clock of the log may have been wrong."""

    begin: float
    end: float
    ahead_ms: float
    """Negative: behind."""


@dataclass(frozen=True)
class Call:
    """One call of a client and what came of it."""

    kind: str
    """right, wrong (logins by their password), unblock, register, look (GET /blocked/<user>), or
    list (GET /blocked, with 404 where the account was not in it)"""
    status: int
    """Of the answer; 0 where there was none."""
    begin: float
    end: float
    last: float = inf
    """The last moment at which a call without a verdict may come into the log."""
    device: str = ""
    """By which a login's account knows it; empty: by none."""


class Span(NamedTuple):
    """A moment that is known to lie between these."""

    low: float
    high: float


class Device(NamedTuple):
    """The failures that stand against a device of the account."""

    name: str
    wrong: int = 0
    until: Span | None = None
    """The end of its block, after which it is known no more."""


_LIFTED = Span(-inf, -inf)


class State(NamedTuple):
    """The failures and the block that stand against the account, in times of the log."""

    wrong: tuple[Span, ...] = ()
    in_a_row: int = 0
    blocks: int = 0
    until: Span | None = None
    over: float = -inf
    """Where clocks go back, a block that is over may seem to stand until then."""
    devices: tuple[Device, ...] = ()

    def device(self, name: str) -> Device:
        """The one of this name."""
        return next((each for each in self.devices if each.name == name), Device(name))

    def with_device(self, device: Device) -> State:
        """The same after what it did."""
        others = [each for each in self.devices if each.name != device.name]
        return self._replace(devices=tuple(sorted((*others, device))))


CLEAN = State()

LOOKS = frozenset({"look", "list"})

NOTHING = frozenset({0, 503})
"""Statuses that say nothing: the call may have taken effect, or may yet."""

_EXPECTED = {
    ("right", 200): "accepted",
    ("right", 429): "blocked",
    ("right", 403): "blocked",
    ("wrong", 401): "rejected",
    ("wrong", 429): "blocked",
    ("wrong", 403): "blocked",
    ("unblock", 200): "lifted",
    ("unblock", 404): "absent",
    ("register", 201): "registered",
    ("look", 200): "blocked",
    ("look", 404): "free",
    ("list", 200): "blocked",
    ("list", 404): "free",
}


def judge(
    calls: Iterable[Call], rules: Rules | Sequence[Era], clocks: Sequence[ClockApart] = ()
) -> str | None:
    """None if some order explains all calls of one account, else a sentence with the first gap.

    Where the policy changes, one era may begin before the former ends; either may hold then.
    """
    certain, unknown = [], []
    for call in calls:
        if call.status in NOTHING:
            if call.kind not in LOOKS:
                unknown.append(call)
        elif (call.kind, call.status) in _EXPECTED:
            certain.append(_read(call))
        elif (call.kind, call.status) != ("register", 409):  # which changes nothing
            return f"a {call.kind} call was answered {call.status}, which is never right: {call}"
    eras = [Era(-inf, inf, rules)] if isinstance(rules, Rules) else rules
    # A call without an answer may have had no effect, and a wrong one may be anywhere. Most orders
    # need few of them, and there are not many orders of so few to look through.
    gap = None
    for most in (0, 1, 2, 3, inf):
        search = _Search(certain, unknown, eras, clocks, most)
        gap = search.run()
        if gap is None or not search.held_back:
            break
    return gap


def gaps(
    calls: Mapping[str, Iterable[Call]],
    rules: Rules | Sequence[Era],
    clocks: Sequence[ClockApart] = (),
) -> Iterator[tuple[str, str]]:
    """The accounts whose calls no order explains, each with the sentence of :func:`judge`."""
    for user, its_calls in calls.items():
        gap = judge(its_calls, rules, clocks)
        if gap is not None:
            yield user, gap


def _read(call: Call) -> Call:
    """A refusal may come from a gateway that has not heard of an unblocking yet."""
    refused = _EXPECTED[call.kind, call.status] == "blocked"
    if refused and call.kind not in LOOKS and not call.device:  # about devices the log decides
        return replace(call, begin=call.begin - STALE_MS)
    return call


class _Node(NamedTuple):
    """Which calls have their place: certain ones before ``low``, and the bits from there on."""

    low: int
    done: int
    used: int
    """A bit for each call without an answer that has taken effect."""
    now: float
    """The next call takes effect no earlier."""
    logged: float
    """The next call comes into the log no earlier."""
    state: State
    hidden: bool = False
    """Whether the last one was without an answer and no look can tell that it was there."""


class _Search:
    def __init__(
        self,
        certain: Iterable[Call],
        unknown: Iterable[Call],
        eras: Sequence[Era],
        clocks: Sequence[ClockApart],
        most_wrong: float = inf,
    ) -> None:
        """At most `most_wrong` of the wrong ones without an answer take effect."""
        self.held_back = False
        """Whether more of them might have explained more."""
        self._most_wrong = most_wrong
        self._certain = sorted(certain, key=lambda call: call.begin)
        self._eras = eras
        self._clocks = clocks
        self._unknown = sorted(map(self._may_last, unknown), key=lambda call: call.begin)
        self._wrong = sum(1 << n for n, call in enumerate(self._unknown) if call.kind == "wrong")
        self._seen: set[tuple[int, int, int, State, bool]] = set()
        self._deepest = 0
        self._stuck: Call | None = None

    def run(self) -> str | None:
        """Depth first, the call that must end first tried first."""
        stack = [iter([_Node(0, 0, 0, -inf, -inf, CLEAN)])]
        detours = 0  # a long history is no wide one
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                continue
            # The times follow from which calls were taken: each is the latest begin among some.
            key = (node.low, node.done, node.used, node.state, node.hidden)
            if key in self._seen:
                continue
            self._seen.add(key)
            must_end = self._must_end(node)
            if must_end is None:
                return None
            depth = node.low + node.done.bit_count()
            detours += depth <= self._deepest
            if detours > MOST_STATES:
                return f"no order was found among {len(self._seen)} states; the history is too wide"
            if depth >= self._deepest:
                self._deepest, self._stuck = depth, must_end
            stack.append(self._next(node, must_end.end))
        return f"no order explains the answers; the first that fits nowhere is {self._stuck}"

    def _may_last(self, call: Call) -> Call:
        """Its last moment is one of the log's clock, which may be another one's meanwhile."""
        apart = [
            abs(clock.ahead_ms)
            for clock in self._clocks
            if clock.begin <= call.last and call.begin <= clock.end
        ]
        return replace(call, last=call.last + sum(apart))

    def _open(self, node: _Node, before: float) -> Iterator[int]:
        for index in range(node.low, len(self._certain)):
            if self._certain[index].begin > before:
                return
            if not node.done >> (index - node.low) & 1:
                yield index

    def _must_end(self, node: _Node) -> Call | None:
        """Of the calls that must take effect still, the one that ends first; None: none is left."""
        first: Call | None = None
        for index in self._open(node, inf):
            call = self._certain[index]
            if first is not None and call.begin > first.end:
                break
            if first is None or call.end < first.end:
                first = call
        return first

    def _next(self, node: _Node, before: float) -> Iterator[_Node]:
        """The calls that may take effect next, the one that can wait least first.

        Those without an answer come last: most histories need none of them.
        """
        candidates = sorted(self._candidates(node, before), key=lambda i: self._certain[i].end)
        # A call that no look can tell may as well come after the looks, just before it matters.
        for index in () if node.hidden else candidates:
            call = self._certain[index]
            expected = _EXPECTED[call.kind, call.status]
            if expected in ("blocked", "free"):
                now = max(node.now, call.begin)
                if self._fits(expected, node.state, Span(now, before), call.device):
                    yield self._with(node, index)._replace(now=now)
                    if now == node.now:
                        return  # it changes nothing, so there is no need to try without it
        for index in candidates:
            call = self._certain[index]
            expected = _EXPECTED[call.kind, call.status]
            if expected not in ("blocked", "free"):
                for result, after in self._after(node, call, before, inf):
                    if result == expected:
                        yield self._with(node, index)._replace(
                            now=after.now, logged=after.logged, state=after.state, hidden=False
                        )
        for index in self._unused(node, before):
            call = self._unknown[index]
            for _, after in self._after(node, call, before, call.last):
                if after.state != node.state:
                    seen = {(s.until, s.over) for s in (node.state, after.state)}
                    hidden = seen == {(None, node.state.over)}
                    yield after._replace(used=node.used | 1 << index, hidden=hidden)

    def _candidates(self, node: _Node, before: float) -> Iterator[int]:
        """Of open calls that are alike, those that begin first or end first, or between these."""
        best: dict[tuple[str, int, str], int] = {}
        for index in self._open(node, before):
            call = self._certain[index]
            kind = (call.kind, call.status, call.device)
            other = best.get(kind)
            if other is None or call.end < self._certain[other].end:
                if other is not None and call.begin > node.now:
                    yield other
                best[kind] = index
        yield from best.values()

    def _unused(self, node: _Node, before: float) -> Iterator[int]:
        """Of calls without an answer that are alike, the first that may still take effect."""
        tried: set[tuple[str, str]] = set()
        for index, call in enumerate(self._unknown):
            if call.begin > before:
                return
            kind = (call.kind, call.device)
            if kind in tried or node.used >> index & 1 or call.last < node.logged:
                continue
            tried.add(kind)
            if call.kind == "wrong" and (node.used & self._wrong).bit_count() >= self._most_wrong:
                self.held_back = True
            else:
                yield index

    def _with(self, node: _Node, index: int) -> _Node:
        low, done = node.low, node.done | 1 << (index - node.low)
        while done & 1:
            low, done = low + 1, done >> 1
        return node._replace(low=low, done=done)

    def _after(
        self, node: _Node, call: Call, latest: float, last: float
    ) -> Iterator[tuple[str, _Node]]:
        """The possible outcomes of a call of the log, each with the node after it."""
        now = max(node.now, call.begin)
        logged = Span(max(node.logged, call.begin), min(latest, last))
        if now <= latest and logged.low <= logged.high:
            for result, state in self._effects(call, node.state, logged):
                yield result, node._replace(now=now, logged=logged.low, state=state)

    def _stamp(self, at: Span, state: State = CLEAN) -> Span:
        """The same moment by the log, whose clock no account sees go back."""
        ahead = [c.ahead_ms for c in self._clocks if c.begin <= at.high and at.low <= c.end]
        latest = state.wrong[-1] if state.wrong else Span(-inf, -inf)
        return Span(
            max(at.low + min((0, *ahead)), latest.low),
            max(at.high + max((0, *ahead)), latest.high),
        )

    def _fits(self, expected: str, state: State, at: Span, device: str) -> bool:
        """Whether the account may be blocked, or may be free, at a moment.

        Or a device of it, which nobody takes for one any more when its block is over.
        """
        stamp, until = self._stamp(at), state.until
        if device:
            own = state.device(device).until
            if own is None or stamp.low < own.high:
                return own is not None
        if expected == "blocked":
            return stamp.low < (state.over if until is None else until.high)
        return until is None or stamp.high >= until.low

    def _effects(self, call: Call, state: State, at: Span) -> Iterator[tuple[str, State]]:
        """The possible outcomes of a call of the log, each with the state after it."""
        if call.device:
            stamp, device = self._stamp(at, state), state.device(call.device)
            if device.until is None:
                yield from self._of_device(call.kind, state, device, at, stamp)
                return
            if stamp.low < device.until.high:
                yield "blocked", state
            if stamp.high < device.until.low:
                return
        yield from self._of_strangers(call.kind, state, at)

    def _of_device(
        self, kind: str, state: State, device: Device, at: Span, stamp: Span
    ) -> Iterator[tuple[str, State]]:
        if kind == "right":
            yield "accepted", state
            return
        wrong = device.wrong + 1
        for rules in self._rules(at):
            length, until = rules.block_ms or rules.window_ms, None
            if wrong >= rules.threshold:
                until = Span(stamp.low + length, inf if rules.at_least else stamp.high + length)
            yield "rejected", state.with_device(Device(device.name, wrong, until))

    def _rules(self, at: Span) -> set[Rules]:
        return {e.rules for e in self._eras if e.begin <= at.high and at.low <= e.end}

    def _of_strangers(self, kind: str, state: State, at: Span) -> Iterator[tuple[str, State]]:
        stamp, until = self._stamp(at, state), state.until
        cleared = CLEAN._replace(devices=_devices_after(kind, state))
        if until is not None and stamp.low < until.high:  # it may stand
            if kind in ("right", "wrong"):
                yield "blocked", state
            else:
                yield "lifted" if kind == "unblock" else "registered", cleared
        if until is not None and stamp.high < until.low:  # it cannot be over
            return
        if until is not None and self._clocks:
            state = state._replace(over=until.high)
        clean = cleared._replace(over=state.over)
        if kind == "right":
            yield "accepted", clean
        elif kind == "wrong":
            for rules in self._rules(at):
                for kept in _windows(state.wrong, stamp, rules.window_ms):
                    yield "rejected", self._count(rules, state, (*kept, stamp), stamp)
        else:
            yield "absent" if kind == "unblock" else "registered", clean

    def _count(self, rules: Rules, state: State, wrong: tuple[Span, ...], at: Span) -> State:
        in_a_row = state.in_a_row + 1
        final = 0 < rules.final_failures <= in_a_row
        if len(wrong) < rules.threshold and not final:
            return State(wrong, in_a_row, state.blocks, None, state.over, state.devices)
        length = inf if final or not rules.block_ms else rules.block_ms
        for _ in range(state.blocks):
            length = max(length, min(2 * length, rules.block_max_ms))
        until = Span(at.low + length, inf if rules.at_least else at.high + length)
        return State((), in_a_row, state.blocks + 1, until, devices=state.devices)


def _devices_after(kind: str, state: State) -> tuple[Device, ...]:
    """What is known of devices after a call that clears the account."""
    if kind == "register":
        return ()
    if kind == "unblock":
        return tuple(each._replace(until=each.until and _LIFTED) for each in state.devices)
    return state.devices


def _windows(wrong: tuple[Span, ...], at: Span, window: float) -> Iterator[tuple[Span, ...]]:
    """The wrong ones that may still count: all that surely do, and any number of the doubtful."""
    surely_out = sum(at.low - span.high >= window for span in wrong)
    perhaps_out = sum(at.high - span.low >= window for span in wrong)
    for out in range(surely_out, max(surely_out, perhaps_out) + 1):
        yield wrong[out:]
